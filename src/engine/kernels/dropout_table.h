// The dropout decisions of dropout.h for a group of queries in lanes, as words
// of bits: the form in which kernels hear about masks too.
#pragma once

#include "../dropout.h"

namespace attentive {

struct DropoutKernels {
  // Bit l of bits[s - first] tells whether query queries[l] keeps key s,
  // first <= s < last; l < lanes, at most 32. queries[l] must be readable up to
  // the next multiple of 32; bits of lanes without a query mean nothing.
  //
  // Once per tile, before its kernel, which then applies keep(p, bits[s]) to
  // what it stores, after adding p to the row's sum:
  //   std::uint32_t kept[kTileKeys];
  //   kernels.dropout.keep_bits(mask.head(n, h), queries, lanes, first, last, kept);
  void (*keep_bits)(const DropoutHead &head, const std::uint32_t *queries, int lanes, Index first,
                    Index last, std::uint32_t *bits) = nullptr;
};

} // namespace attentive
