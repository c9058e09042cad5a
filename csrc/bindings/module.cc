#include "bindings/array.h"
#include "bindings/bindings.h"
#include "dispatch.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled part of hotloops. Its functions are called through the public modules.";
  hotloops::import_numpy();
  // HOTLOOPS_ISA may ask for what this CPU lacks; better said at import than at the first product.
  static_cast<void>(hotloops::active_kernels());
  hotloops::register_computed_function(m);
  hotloops::register_operations(m);
  hotloops::register_packing(m);
  hotloops::register_elementwise(m);
  hotloops::register_einsum(m);
  hotloops::register_vjp(m);
  hotloops::register_settings(m);
  hotloops::register_ladder(m);
  hotloops::register_training(m);
}
