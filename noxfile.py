"""The project's chores. `nox` runs all checks, `nox -s NAME` one of them, `nox -l` lists them.

CI runs these same sessions in one environment of its own: `nox --no-venv --no-install`.
"""

from __future__ import annotations

import difflib
import platform
import re
import shutil
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = [
    *("lint", "typing", "stubs", "tidy", "cpp", "neon", "old_cpus", "docs", "oldest", "tests"),
]

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
# Those of the whole interface that take little time.
QUICK_TESTS = (
    *("computed", "contracts", "dense", "einsum", "errors", "naive", "nn", "nn_files"),
    *("numpy_parity", "packing", "relu", "smoke", "views", "vjp", "where"),
)
STUB = ROOT / "python" / "hotloops" / "_core.pyi"


def install_group(session: nox.Session, group: str) -> None:
    """Install one of pyproject.toml's dependency groups."""
    session.install(*nox.project.dependency_groups(PYPROJECT, group))


def run_preset(session: nox.Session, preset: str, *definitions: str) -> None:
    """Configure, build and test the C++ core by one preset of CMakePresets.json."""
    session.run("cmake", "--preset", preset, *definitions)
    session.run("cmake", "--build", "--preset", preset)
    session.run("ctest", "--preset", preset)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the Python tests; arguments go to pytest."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run quick tests with the oldest NumPy that is allowed; an argument is a wheel to install."""
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    floor = next(d for d in project["dependencies"] if d.startswith("numpy>=")).split(">=")[1]
    # torch takes longest to install, and is tested beside the newest NumPy.
    others = [d for d in extras["test"] if not d.startswith(("hotloops", "torch"))]
    package = session.posargs or ["."]
    session.install(*package, f"numpy=={floor}.*", *extras["bench"], *others)
    session.run(
        "python", "-c", f"import numpy as np; assert np.__version__[:{len(floor)}] == {floor!r}"
    )
    session.run("python", "-m", "pytest", *(f"tests/test_{name}.py" for name in QUICK_TESTS))


@nox.session
def lint(session: nox.Session) -> None:
    """Check formatting and the quick lints of every tracked file, as pre-commit does."""
    install_group(session, "lint")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the package, the tests and the benchmarks."""
    session.install(".[bench,test]")
    install_group(session, "typing")
    session.run("mypy")


@nox.session
def stubs(session: nox.Session) -> None:
    """Regenerate _core.pyi from the compiled module; with `--check`, fail if it would change."""
    session.install(".")
    install_group(session, "stubs")
    with tempfile.TemporaryDirectory() as directory:
        session.run("pybind11-stubgen", "hotloops._core", "--exit-code", "-o", directory)
        fresh = (Path(directory) / "hotloops" / "_core.pyi").read_text()
    # An attribute's value (the version, the compiler) is of this build, not of the interface.
    fresh = re.sub(r"^(\w+: \w+) = .*$", r"\1", fresh, flags=re.MULTILINE)
    if session.posargs != ["--check"]:
        STUB.write_text(fresh)
    elif (committed := STUB.read_text()) != fresh:
        lines = committed.splitlines(), fresh.splitlines()
        session.log("\n".join(difflib.unified_diff(*lines, "committed", "fresh", lineterm="")))
        session.error("_core.pyi is stale: run `nox -s stubs` and commit the result")


@nox.session
def tidy(session: nox.Session) -> None:
    """Run clang-tidy over every C++ file that this machine compiles."""
    install_group(session, "tidy")
    pybind11_dir = session.run("python", "-m", "pybind11", "--cmakedir", silent=True)
    build = ROOT / "build" / "tidy"
    session.run(
        *("cmake", "--preset", "release", "-B", str(build), "-D", "HOTLOOPS_BUILD_PYTHON=ON"),
        *("-D", f"pybind11_DIR={str(pybind11_dir).strip()}"),
    )
    # Clang brings no omp.h. GCC's directory comes last: Clang has intrinsics of its own.
    compiler_headers = session.run("c++", "-print-file-name=include", external=True, silent=True)
    last = f"-extra-arg=-idirafter{str(compiler_headers).strip()}"
    session.run("run-clang-tidy.py", "-quiet", "-p", str(build), last, *session.posargs)


@nox.session
def cpp(session: nox.Session) -> None:
    """Test the C++ core natively: as released, under ASan and UBSan, and under TSan."""
    install_group(session, "build")
    for preset in session.posargs or ["release", "debug", "tsan"]:
        run_preset(session, preset)


@nox.session
def neon(session: nox.Session) -> None:
    """Test the C++ core for aarch64, cross compiled, under qemu."""
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64"):
        if shutil.which(tool) is None:
            session.skip(f"{tool} is not installed")
    install_group(session, "build")
    run_preset(session, "aarch64")


@nox.session
def old_cpus(session: nox.Session) -> None:
    """Run the quick tests on emulated x86-64 CPUs that lack AVX-512, and AVX2."""
    if platform.machine() != "x86_64" or shutil.which("qemu-x86_64") is None:
        session.skip("it takes an x86-64 machine and qemu-x86_64")
    session.install(".[test]")
    python = str(session.run("python", "-c", "import sys; print(sys.executable)", silent=True))
    for cpu, isa in (("Haswell", "avx2"), ("Nehalem", "baseline")):
        emulated = ("qemu-x86_64", "-cpu", cpu, python.strip())
        chosen = f"import hotloops; assert hotloops.isa() == {isa!r}, hotloops.isa()"
        # Standard error has the emulator's word on features that no program of a user asks for.
        session.run(*emulated, "-c", chosen, external=True)
        session.run(
            *(*emulated, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_smoke.py"),
            external=True,
        )


@nox.session
def clang(session: nox.Session) -> None:
    """Test the C++ core as Clang compiles it; an argument names another compiler."""
    compiler = session.posargs[0] if session.posargs else "clang++"
    if shutil.which(compiler) is None:
        session.skip(f"{compiler} is not installed")
    install_group(session, "build")
    run_preset(session, "clang", f"-DCMAKE_CXX_COMPILER={compiler}")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site in docs/_build/html; its pages run as programs."""
    session.install(".[docs]")
    for built in ("_build/html", "api/generated"):
        shutil.rmtree(ROOT / "docs" / built, ignore_errors=True)
    session.run(
        *("python", "-m", "sphinx", "-W", "--keep-going", "--fresh-env", "-b", "html"),
        *("docs", "docs/_build/html", *session.posargs),
    )


@nox.session
def ladder(session: nox.Session) -> None:
    """Run the ladder on this machine; arguments go to `python -m hotloops ladder`."""
    session.install(".[bench]")
    session.run("python", "-m", "hotloops", "ladder", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure hotloops against NumPy and torch; arguments go to the benchmark."""
    session.install(".[bench,test]")
    session.run("python", "bench/peers.py", *session.posargs)
