"""The C++ core without Python, natively and for aarch64 under qemu: tests pass, digests agree."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from hotloops import _core
from support import FMA_ISAS

ROOT = Path(__file__).parent.parent
QEMU = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]

# Compiling for two architectures takes minutes, and more on a busy machine.
pytestmark = pytest.mark.timeout(1800)

# Of what nm prints: the letter of a symbol that other object files may see, and its name.
EXPORTED = re.compile(r"^[0-9a-f]+ [A-Zuvw] (.*)$", re.MULTILINE)

# Of what objdump prints: a function's name, and an instruction whose first byte, after prefixes of
# a segment or an address size, is that of VEX (c4, c5) or EVEX (62).
LABEL = re.compile(r"^[0-9a-f]+ <(.*)>:$")
VEX_CODED = re.compile(r"^ +[0-9a-f]+:\t(?:(?:26|2e|36|3e|64|65|67) )*(?:c4|c5|62) ")

Digests = dict[tuple[str, ...], dict[str, str]]

# As the module was built.
OPENMP = f"HOTLOOPS_OPENMP={'ON' if _core.has_openmp else 'OFF'}"

# What people set, and would change results or keep other CPUs from running them.
UNWANTED_FLAGS = "-march=native -Ofast -ffast-math -funsafe-math-optimizations -ffp-contract=off"
if platform.machine() == "x86_64":
    UNWANTED_FLAGS += " -mavx2 -mfma -mbmi2 -mlzcnt -mpopcnt"
WANTED_FLAGS = "-D_GLIBCXX_ASSERTIONS -Wcast-align"

# Compiled to other instructions by each of them.
PROBE = """
float sum_of_products(const float* a, const float* b, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}
void divide(double* x, int n, double y) {
  for (int i = 0; i < n; ++i) x[i] = x[i] / y + 0.0;
}
bool is_nan(double x) { return x != x; }
double rounded(double x) { return __builtin_rint(x); }
int bits(unsigned long long x, int n) {
  return __builtin_popcountll(x) + __builtin_ctzll(x) + __builtin_clzll(x) + int(x << n);
}
"""


def require(*tools: str) -> None:
    """Skip the test unless all these tools are on the PATH."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def run(*command: str) -> str:
    """Run a command and return what it printed; its failure is the test's."""
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    return done.stdout


def configure(directory: Path) -> None:
    """Have CMake prepare there to build the core and its tests."""
    options = ["CMAKE_BUILD_TYPE=Release", "HOTLOOPS_BUILD_PYTHON=OFF", "HOTLOOPS_BUILD_TESTS=ON"]
    flags = [f"-D{option}" for option in (*options, OPENMP)]
    run("cmake", "-G", "Unix Makefiles", "-S", str(ROOT), "-B", str(directory), *flags)


def build(preset: str) -> str:
    """Build the core and its tests by a preset of CMakePresets.json; return the test program.

    In the checkout, where `nox -s cpp neon` has built them before: then nothing is left to do.
    """
    require("cmake", "ninja")
    run("cmake", "--preset", preset, f"-D{OPENMP}")
    run("cmake", "--build", "--preset", preset)
    return str(ROOT / "build" / preset / "tests" / "cpp" / "hotloops_tests")


def assembly_of_probe(directory: Path, probe: Path) -> dict[str, str]:
    """Return {source: the probe in assembly, as compiled with the options of that source}."""
    found, compiled = {}, {}
    for entry in json.loads((directory / "compile_commands.json").read_text()):
        command = shlex.split(entry["command"])
        del command[command.index("-o") :]  # the object, -c and the source
        options = shlex.join(command)
        if options not in compiled:
            compiled[options] = run(*command, "-S", "-o", "-", str(probe))
        found[entry["file"]] = compiled[options]
    return found


def digests(printed: str) -> Digests:
    """Return {(dtype, shape, activation): {isa: digest}} of what the test program printed."""
    found: Digests = {}
    for line in printed.splitlines():
        if line.startswith("digest "):
            _, isa, *what, digest = line.split()
            found.setdefault(tuple(what), {})[isa] = digest
    return found


@pytest.fixture(scope="module")
def native_program() -> str:
    """Build the tests for this machine's own architecture."""
    require(os.environ.get("CXX", "c++"))
    return build("release")


@pytest.fixture(scope="module")
def native(native_program: str) -> Digests:
    """Run the tests on this machine."""
    return digests(run(native_program))


@pytest.fixture(scope="module")
def aarch64() -> Digests:
    """Cross compile the tests for aarch64 and run them under qemu."""
    require("aarch64-linux-gnu-g++", "qemu-aarch64")
    return digests(run(*QEMU, build("aarch64")))


def test_leaves_export_nothing_outside_of_their_namespace(native_program: str) -> None:
    """Else the linker might pick a leaf's copy of an inline function for every CPU."""
    require("nm")
    objects = sorted(Path(native_program).parents[2].glob("**/csrc/kernels/*.o"))
    assert len(objects) >= 2
    for leaf in objects:
        isa = leaf.name.split(".")[0]
        names = EXPORTED.findall(run("nm", "--demangle", "--defined-only", str(leaf)))
        assert names
        assert [name for name in names if f"hotloops::{isa}::" not in name] == []


def vex_coded_functions(object_file: Path) -> set[str]:
    """Return the functions of an x86-64 object file with an instruction of AVX or later."""
    found, function = set(), ""
    disassembly = run("objdump", "--disassemble", "--demangle", str(object_file))
    for line in disassembly.splitlines():
        if label := LABEL.match(line):
            function = label[1]
        elif VEX_CODED.match(line):
            found.add(function)
    return found


def test_nothing_that_runs_before_dispatch_needs_avx(native_program: str) -> None:
    """What is not in a leaf's namespace runs on every CPU, and so does what a linker calls."""
    require("objdump")
    if platform.machine() != "x86_64":
        pytest.skip("VEX and EVEX are prefixes of x86-64")
    root = Path(native_program).parents[2]
    checked = dict.fromkeys(("leaf", "other"), 0)
    for file in sorted(root.glob("**/csrc/**/*.o")):
        isa = file.name.split(".")[0]
        is_leaf = file.parent.name == "kernels" and isa != "baseline"
        functions = vex_coded_functions(file)
        checked["leaf" if is_leaf else "other"] += 1
        assert bool(functions) == is_leaf, (file.name, functions)
        assert [name for name in functions if f"hotloops::{isa}::" not in name] == []
        # Dynamic initialisation would run a leaf's code as the module is loaded.
        sections = run("objdump", "--section-headers", str(file))
        assert not (is_leaf and re.search(r"\.(init_array|ctors)", sections)), file.name
        # Other objects may refer to a leaf's data alone: its functions are weak or local.
        symbols = run("nm", "--demangle", "--defined-only", "--extern-only", str(file))
        assert not (is_leaf and re.search(r" T ", symbols)), file.name
    assert checked["leaf"] >= 3
    assert checked["other"] > 20


def test_flags_of_the_environment_change_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the bits, or the CPUs that can run them, would depend on who built it, and where."""
    require("cmake", "make", os.environ.get("CXX", "c++"))
    probe = tmp_path / "probe.cc"
    probe.write_text(PROBE)
    assembly = []
    for name, flags in ("plain", ""), ("unwanted", f"{UNWANTED_FLAGS} {WANTED_FLAGS}"):
        monkeypatch.setenv("CXXFLAGS", flags)
        configure(tmp_path / name)
        assembly.append(assembly_of_probe(tmp_path / name, probe))
        # GCC's linker would have the whole process take subnormal numbers for zero.
        link = next((tmp_path / name).glob("**/hotloops_tests.dir/link.txt"))
        compiler, *others = shlex.split(link.read_text())
        options = [word for word in others if word.startswith("-") and word != "-o"]
        assert "crtfastmath" not in run(compiler, *options, "-###", str(probe))
    plain, unwanted = assembly
    assert len(set(plain.values())) > 1, "leaves have flags of their own"
    assert plain.keys() == unwanted.keys()
    assert [source for source in plain if plain[source] != unwanted[source]] == []
    for entry in json.loads((tmp_path / "unwanted" / "compile_commands.json").read_text()):
        assert WANTED_FLAGS in entry["command"]


def test_native_isas_agree(native: Digests) -> None:
    assert native
    for what, by_isa in native.items():
        # One with other kernels than this CPU is given has a name with a dash.
        fused = {digest for isa, digest in by_isa.items() if isa.split("-")[0] in FMA_ISAS}
        assert len(fused) <= 1, (what, by_isa)


def test_neon_agrees_with_the_native_isas(native: Digests, aarch64: Digests) -> None:
    assert native.keys() == aarch64.keys()
    compared = 0
    for what, by_isa in native.items():
        for isa in FMA_ISAS & by_isa.keys():
            assert by_isa[isa] == aarch64[what]["neon"], (what, isa)
            compared += 1
    if compared == 0:
        pytest.skip("this machine has no ISA with fused multiply-add to compare with")


def test_baseline_rounds_the_products(native: Digests) -> None:
    """Where they agree throughout, the baseline was compiled for more than a baseline CPU."""
    if "avx2" not in next(iter(native.values())):
        pytest.skip("no x86 ISA with fused multiply-add here")
    assert any(by_isa["baseline"] != by_isa["avx2"] for by_isa in native.values())
