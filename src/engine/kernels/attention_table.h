// The hot loops of the tiled core. Queries are lanes: a group is two vectors of
// them, L = 2 * lanes queries, and everything that belongs to a group is stored
// with the lane as the last axis.
#pragma once

#include "../tensor.h"

namespace attentive {

// Most queries of a group at any level; a word of bits has one for each.
constexpr int kMaxGroup = 32;

template <class T> struct AttentionKernels {
  int lanes = 0; // of one vector

  // packed[size, L] = the transpose of L rows, times scale. Rows from `count`
  // on are taken as zeros.
  void (*pack_rows)(const T *const *rows, int count, Index size, T scale, T *packed) = nullptr;
};

} // namespace attentive
