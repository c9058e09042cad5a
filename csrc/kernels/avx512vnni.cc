#define HOTLOOPS_ISA avx512vnni
#include "kernels/leaf.h"
#include "kernels/leaves.h"
#include "kernels/quads.h"

namespace hotloops::avx512vnni {

void set_integers(KernelSet& set) {
  IntegerKernels<64, 8>::set_all(set);
  ByteKernels::set_all(set);
}

}  // namespace hotloops::avx512vnni
