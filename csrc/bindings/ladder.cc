// The C++ rungs of the ladder, under names of their own: hotloops.ladder is the way to them.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/gil.h"
#include "naive.h"
#include "rungs.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// Contiguous arrays of exactly this dtype: a rung that converted its operands would time the
// conversion.
template <class T>
using Array = py::array_t<T, py::array::c_style>;

template <class T>
using MatmulLoop = void (*)(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b,
                            T* c);

template <class T>
void define_matmul(py::module_& m, const char* name, MatmulLoop<T> loop) {
  const auto rung = [name = std::string(name), loop](const Array<T>& a, const Array<T>& b) {
    if (a.ndim() != 2 || b.ndim() != 2 || a.shape(1) != b.shape(0)) {
      throw std::invalid_argument(name + ": a and b must be matrices of shapes (m, k) and (k, n)");
    }
    Array<T> c({a.shape(0), b.shape(1)});
    const T* a_data = a.data();
    const T* b_data = b.data();
    T* c_data = c.mutable_data();
    {
      const WithoutGil without_gil;
      loop(a.shape(0), b.shape(1), a.shape(1), a_data, b_data, c_data);
    }
    return c;
  };
  m.def(name, rung, py::arg("a").noconvert(), py::arg("b").noconvert());
}

template <class T>
void define_rungs(py::module_& m) {
  define_matmul<T>(m, "rung_matmul_ijk_scalar", naive::matmul_ijk<T>);
  define_matmul<T>(m, "rung_matmul_ikj_scalar", naive::matmul_ikj<T>);
  define_matmul<T>(m, "rung_matmul_ikj", rungs::matmul_ikj<T>);
  define_matmul<T>(m, "rung_matmul_blocked", rungs::matmul_blocked<T>);
  define_matmul<T>(m, "rung_matmul_register_tile", rungs::matmul_register_tile<T>);

  const auto relu = [](const Array<T>& x) {
    Array<T> y(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    const T* x_data = x.data();
    T* y_data = y.mutable_data();
    {
      const WithoutGil without_gil;
      naive::relu(x.size(), x_data, y_data);
    }
    return y;
  };
  m.def("rung_relu_scalar", relu, py::arg("x").noconvert());
}

}  // namespace

void register_ladder(py::module_& m) {
  define_rungs<float>(m);
  define_rungs<double>(m);
}

}  // namespace hotloops
