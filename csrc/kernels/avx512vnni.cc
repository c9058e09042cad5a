#define HOTLOOPS_ISA avx512vnni
#include "kernels/leaf.h"
#include "kernels/leaves.h"
#include "kernels/quads.h"

namespace hotloops::avx512vnni {

void set_integers(KernelSet& set) {
  using Pairs = IntegerKernels<64, 8>;
  Pairs::set_tiles_of_shorts(set);
  Pairs::set_rows(set);
  ByteKernels::set_all(set);
}

}  // namespace hotloops::avx512vnni
