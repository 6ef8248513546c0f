#include "attention_tiles.h"

#include <algorithm>

namespace attentive {

namespace {

// Queries of a block: the more share a copied tile of keys the better, but the
// heads of one element should give some tasks to each of several threads.
constexpr Index kLeastBlock = 128, kTasksOfElement = 16;

// Below this many keys copying tiles together costs more than it brings.
constexpr Index kKeysToPack = 512;

} // namespace

template <class T>
AttentionGrid AttentionGrid::of(const AttentionShape &shape, const AttentionKernels<T> &kernels) {
  AttentionGrid grid;
  grid.lanes = 2 * kernels.lanes;
  const Index wanted = shape.queries * shape.heads / kTasksOfElement;
  const Index block = std::min({std::max(wanted, kLeastBlock), kMaxBlockQueries, shape.queries});
  grid.groups = static_cast<int>(std::max<Index>(1, (block + grid.lanes - 1) / grid.lanes));
  grid.blocks = (shape.queries + grid.block_queries() - 1) / grid.block_queries();
  grid.packs = shape.keys >= kKeysToPack && shape.queries >= kLeastBlock;
  return grid;
}

template AttentionGrid AttentionGrid::of(const AttentionShape &, const AttentionKernels<float> &);
template AttentionGrid AttentionGrid::of(const AttentionShape &, const AttentionKernels<double> &);

Execution worthwhile(const Execution &execution, Index tasks, double work) {
  // Below this a second thread costs more than it brings.
  constexpr double kSerialWork = 1e6;
  Execution limited = execution;
  if (work < kSerialWork)
    limited.threads = 1;
  limited.threads = static_cast<int>(std::max<Index>(1, std::min<Index>(limited.threads, tasks)));
  return limited;
}

void TileView::look(const Mask &mask, Index n, Index h, const Index *queries, int count,
                    int lanes, Index first, Index last) {
  const int size = static_cast<int>(last - first);
  const std::uint32_t low = (std::uint32_t(1) << lanes) - 1; // lanes <= 16
  view = mask.view(n, h, queries, count, first, last, bits);
  seen = 0;
  for (int vector = 0; vector < 2; ++vector) {
    begin[vector] = end[vector] = 0;
    if (view == Mask::View::none || vector * lanes >= count)
      continue;
    end[vector] = size;
    if (view == Mask::View::all)
      continue;
    const std::uint32_t own = low << (vector * lanes);
    while (begin[vector] < size && (bits[begin[vector]] & own) == 0)
      ++begin[vector];
    while (end[vector] > begin[vector] && (bits[end[vector] - 1] & own) == 0)
      --end[vector];
  }
  if (view == Mask::View::all)
    seen = count >= 32 ? ~std::uint32_t(0) : (std::uint32_t(1) << count) - 1;
  else if (view == Mask::View::some)
    for (int s = 0; s < size; ++s)
      seen |= bits[s];
}

} // namespace attentive
