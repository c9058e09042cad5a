#define HOTLOOPS_ISA avx512vnni
#include "kernels/leaf.h"
#include "kernels/leaves.h"
#include "kernels/quads.h"

namespace hotloops::avx512vnni {

constexpr KernelOverlay kOverlay = [] {
  using Pairs = IntegerKernels<64, 8>;
  KernelOverlay overlay{.isa = Isa::avx512};
  Pairs::set_tiles_of_shorts(overlay);
  Pairs::set_rows(overlay);
  ByteKernels::set_all(overlay);
  return overlay;
}();

}  // namespace hotloops::avx512vnni
