// Packed matrices as Python objects.

#pragma once

#include <pybind11/pybind11.h>

#include "bindings/array.h"
#include "packed.h"

namespace hotloops {

// A packed matrix and what is to be known of the array that it was.
struct PackedArray {
  const dlpack::ExchangeApi* api;
  ElementType type;
  Arithmetic precision;  // what was asked for; of float32
  Isa isa;               // whose kernels were in use
  PackedMatrix matrix;
};

// The packed matrix that the object is, or null.
const PackedArray* as_packed(pybind11::handle object);

// Refuses a packed matrix that cannot be a call's right operand, called `name`: other kernels are
// in use, or `precision`, if not None, is another one. Throws std::invalid_argument.
void check_packed(std::string_view function, std::string_view name, const PackedArray& packed,
                  pybind11::handle precision);

}  // namespace hotloops
