#include "bindings/array.h"
#include "bindings/bindings.h"
#include "blocking.h"
#include "dispatch.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled part of hotloops. Its functions are called through the public modules.";
  hotloops::import_numpy();
  // HOTLOOPS_ISA may ask for what this CPU lacks; better said at import than at the first product.
  static_cast<void>(hotloops::active_kernels());
  // What is read once is read now: a child that is forked while another thread reads it would wait
  // for that thread for ever.
  static_cast<void>(hotloops::cache_sizes());
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
