// Threads, instruction sets, and what there is to know about this build and machine.

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/gil.h"
#include "bindings/names.h"
#include "blocking.h"
#include "cpu_features.h"
#include "dispatch.h"
#include "peak.h"
#include "result_memory.h"
#include "threads.h"
#include "workspace.h"

namespace py = pybind11;

namespace hotloops {
namespace {

DType dtype_named(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    if (name == name_of(dtype)) return dtype;
  }
  throw std::invalid_argument("dtype is '" + name + "' but must be 'float32' or 'float64'");
}

TileProduct tile_product_named(const std::string& name) {
  if (name == "bfloat16") return TileProduct::bf16;
  if (name == "int8") return TileProduct::i8;
  throw std::invalid_argument("dtype is '" + name + "' but must be 'bfloat16' or 'int8'");
}

py::dict describe(const Kernel& kernel) {
  py::dict d;
  d["name"] = name_of(kernel);
  d["isa"] = name_of(kernel.isa);
  d["dtype"] = name_of(kernel.arithmetic);
  d["mr"] = kernel.mr;
  d["nr"] = kernel.nr;
  d["kr"] = kernel.kr;
  return d;
}

// Each once: an ISA may have a kernel in several places, or another ISA's.
void append(const KernelSet& set, std::set<std::string>& names, py::list& list) {
  for (const auto& shapes : set.matmul) {
    for (const Kernel& kernel : shapes) {
      if (kernel.choose != nullptr && names.insert(name_of(kernel)).second) {
        list.append(describe(kernel));
      }
    }
  }
}

// Of all usable ISAs, or of the one in use.
py::list kernels(bool in_use) {
  py::list list;
  std::set<std::string> names;
  if (in_use) {
    append(active_kernels(), names, list);
    return list;
  }
  for (const std::string& isa : usable_isas()) {
    append(*select_isa(cpu_features(), isa).kernels, names, list);
  }
  return list;
}

constexpr const char* compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#else
  return "GCC " __VERSION__;
#endif
}

}  // namespace

void register_settings(py::module_& m) {
  m.attr("__version__") = HOTLOOPS_VERSION;
  m.attr("compiler") = compiler();
  m.attr("has_openmp") = has_openmp();
  m.attr("KC") = kKc;
  m.attr("MAX_THREADS") = kMostThreads;

  m.def("isas", &usable_isas);
  m.def("isa", [] { return active_kernels().name; });
  m.def("use_isa", [](const std::string& name) { use_isa(name); }, py::arg("name"));
  m.def(
      "select_isa",
      [](const std::set<std::string>& features, const std::optional<std::string>& override_name) {
        return select_isa(features, override_name.value_or("")).name;
      },
      py::arg("features"), py::arg("override") = py::none());
  m.def("cpu_features", &cpu_features);
  m.def("kernels", &kernels, py::arg("in_use") = false);

  m.def("float32_precision", [] { return name_of_precision(float32_precision()); });
  // None: as the process has it.
  m.def("float32_precision_here", []() -> std::optional<std::string_view> {
    const std::optional<Arithmetic> here = float32_precision_here();
    return here ? std::optional(name_of_precision(*here)) : std::nullopt;
  });
  m.def(
      "set_float32_precision",
      [](py::handle name) {
        set_float32_precision(precision_named("set_float32_precision", name, false));
      },
      py::arg("precision"));
  m.def(
      "set_float32_precision_here",
      [](py::handle name) {
        set_float32_precision_here(name.is_none()
                                       ? std::nullopt
                                       : std::optional(precision_named("float32_precision", name)));
      },
      py::arg("precision"));

  m.def("num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("set_num_threads_here", &set_num_threads_here, py::arg("n"));

  m.def("release_workspace", [] { return release_workspace() + release_results(); });
  m.def("fill_with_garbage", [](bool fills) { fills_with_garbage = fills; }, py::arg("fills"));

  m.def("cache_sizes", [] {
    const CacheSizes& sizes = cache_sizes();
    py::dict d;
    d["l1d"] = sizes.l1d;
    d["l2"] = sizes.l2;
    d["l3"] = sizes.l3;
    return d;
  });
  m.def(
      "fma_peak",
      [](const std::string& dtype, double seconds) {
        const DType type = dtype_named(dtype);
        const WithoutGil without_gil;
        return fma_peak(active_kernels(), type, seconds);
      },
      py::arg("dtype"), py::arg("seconds"));
  m.def(
      "tile_peak",
      [](const std::string& dtype, double seconds) {
        const TileProduct product = tile_product_named(dtype);
        const WithoutGil without_gil;
        return tile_peak(active_kernels(), product, seconds);
      },
      py::arg("dtype"), py::arg("seconds"));
  m.def(
      "update_in_place",
      [](py::array_t<double, py::array::c_style>& values, int threads) {
        const std::span<double> span(values.mutable_data(),
                                     static_cast<std::size_t>(values.size()));
        const WithoutGil without_gil;
        update_in_place(active_kernels(), span, threads);
      },
      py::arg("values").noconvert(), py::arg("threads"));
}

}  // namespace hotloops
