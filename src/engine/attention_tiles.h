// What the tiled paths (forward, scores, backward) share: how the square of
// queries and keys is cut, and a group of queries in the lanes of the kernels.
//
// The cut depends on T, S, K, V and the kernels' lanes only, never on the
// batch or on the number of threads, so that neither changes a bit.
#pragma once

#include <cstdint>

#include "attention.h"
#include "kernels/table.h"

namespace attentive {

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// Keys of a tile: a multiple of the kernels' 8 and 6 rows.
constexpr int kTileKeys = 96;

// Most queries of a block; a multiple of every L.
constexpr Index kMaxBlockQueries = 512;

// Letters: L lanes of a group, Q = groups * L queries of a block.
struct AttentionGrid {
  int lanes = 0;      // L
  int groups = 0;     // of a block
  Index blocks = 0;   // of one head
  bool packs = false; // whether tiles of keys and values are copied together

  Index block_queries() const { return Index(groups) * lanes; }
  template <class T>
  static AttentionGrid of(const AttentionShape &shape, const AttentionKernels<T> &kernels);
};

// A group of queries against a range of keys, as the kernels want to hear it.
struct TileView {
  Mask::View view = Mask::View::none;
  std::uint32_t bits[kTileKeys];
  int begin[2], end[2];
  std::uint32_t seen = 0; // lanes that see any key of the tile

  // Keys [first, last) of head h of element n; `lanes` of one vector.
  void look(const Mask &mask, Index n, Index h, const Index *queries, int count, int lanes,
            Index first, Index last);
  const std::uint32_t *bits_or_null() const {
    return view == Mask::View::all ? nullptr : bits;
  }
};

// As many threads as `work` multiply-adds in that many tasks can use.
Execution worthwhile(const Execution &execution, Index tasks, double work);

} // namespace attentive
