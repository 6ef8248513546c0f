// Letters: an R array is seen as [R, Y, O], first index fastest, where Y is the
// axis that the row-major array has contiguous, R all axes before it and O all
// after. Entry (r, y, o) is entry y of the row at offset(r) + offset(o) of the
// row-major array: every change of axes is a batch of matrix transposes whose
// rows lie anywhere.
#include "layout.h"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace attentive {
namespace {

struct Axis {
  Index extent, stride; // stride: in the row-major array
};

struct Plan {
  Index run = 1, row = 1, outer = 1; // R, Y, O
  std::vector<Axis> run_axes, outer_axes;
};

Plan make_plan(const Index *dims, int rank, const int *order) {
  std::vector<Index> strides(static_cast<std::size_t>(rank));
  Index total = 1;
  int row_axis = rank;
  for (int i = rank - 1; i >= 0; --i) {
    const int axis = order[i];
    strides[static_cast<std::size_t>(axis)] = total;
    total = checked_product(total, dims[axis]);
    if (row_axis == rank && dims[axis] != 1)
      row_axis = axis;
  }
  Plan plan;
  for (int axis = 0; axis < rank; ++axis) {
    const Axis here{dims[axis], strides[static_cast<std::size_t>(axis)]};
    if (axis == row_axis) {
      plan.row = here.extent;
    } else if (axis < row_axis) {
      plan.run *= here.extent;
      plan.run_axes.push_back(here);
    } else {
      plan.outer *= here.extent;
      plan.outer_axes.push_back(here);
    }
  }
  return plan;
}

// Where the row of the combined index of `axes` (first axis fastest) begins.
Index row_offset(const std::vector<Axis> &axes, Index index) {
  Index offset = 0;
  for (const Axis &axis : axes) {
    offset += index % axis.extent * axis.stride;
    index /= axis.extent;
  }
  return offset;
}

// The same for `count` consecutive indices; divides only where the fastest axis
// wraps around.
void row_offsets(const std::vector<Axis> &axes, Index first, Index count, Index *offsets) {
  const Axis fastest = axes[0];
  Index position = first % fastest.extent;
  for (Index i = 0; i < count; ++i) {
    if (i == 0 || position == fastest.extent)
      offsets[i] = row_offset(axes, first + i);
    else
      offsets[i] = offsets[i - 1] + fastest.stride;
    position = position == fastest.extent ? 1 : position + 1;
  }
}

template <class T, class S> T convert(S x) {
  if constexpr (std::is_same_v<T, std::uint8_t>)
    return x != 0;
  else if constexpr (std::is_same_v<S, int>) // INT_MIN is R's NA_integer_ and NA
    return x == std::numeric_limits<int>::min() ? std::numeric_limits<T>::quiet_NaN()
                                                : static_cast<T>(x);
  else
    return static_cast<T>(x);
}

// The two directions. In `columns`, the R array, consecutive r are neighbours
// and consecutive y are `step` apart; the row of r begins at row + offsets[r].
template <class S, class T> struct Gather {
  const S *columns;
  T *rows;

  void entry(const S *column, T *row) const { *row = convert<T>(*column); }
  // 4 consecutive r times 4 consecutive y.
  void block(const S *column, Index step, const Index *offsets, T *row) const {
    for (int r = 0; r < 4; ++r)
      for (int y = 0; y < 4; ++y)
        entry(column + r + y * step, row + offsets[r] + y);
  }
};

template <class T> struct Scatter {
  double *columns;
  const T *rows;

  void entry(double *column, const T *row) const { *column = static_cast<double>(*row); }
  void block(double *column, Index step, const Index *offsets, const T *row) const {
    for (int y = 0; y < 4; ++y)
      for (int r = 0; r < 4; ++r)
        entry(column + r + y * step, row + offsets[r] + y);
  }
};

#if defined(__SSE2__)
template <>
void Gather<double, float>::block(const double *column, Index step, const Index *offsets,
                                  float *row) const {
  const auto four = [&](Index y) {
    return _mm_movelh_ps(_mm_cvtpd_ps(_mm_loadu_pd(column + y * step)),
                         _mm_cvtpd_ps(_mm_loadu_pd(column + y * step + 2)));
  };
  __m128 a = four(0), b = four(1), c = four(2), d = four(3);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(row + offsets[0], a);
  _mm_storeu_ps(row + offsets[1], b);
  _mm_storeu_ps(row + offsets[2], c);
  _mm_storeu_ps(row + offsets[3], d);
}

template <>
void Scatter<float>::block(double *column, Index step, const Index *offsets,
                           const float *row) const {
  __m128 a = _mm_loadu_ps(row + offsets[0]), b = _mm_loadu_ps(row + offsets[1]);
  __m128 c = _mm_loadu_ps(row + offsets[2]), d = _mm_loadu_ps(row + offsets[3]);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  const auto four = [&](Index y, __m128 x) {
    _mm_storeu_pd(column + y * step, _mm_cvtps_pd(x));
    _mm_storeu_pd(column + y * step + 2, _mm_cvtps_pd(_mm_movehl_ps(x, x)));
  };
  four(0, a);
  four(1, b);
  four(2, c);
  four(3, d);
}
#endif

// One tile: `runs` values of r times `length` values of y. Eight r and four y
// at a time use up whole cache lines of the R array, whose columns are often a
// power of two apart and would drive each other out of the cache; sixteen y in
// a row fill whole lines of the other array.
template <class Move, class Column, class Row>
void move_tile(const Move &move, Column column, Index step, const Index *offsets, Index runs,
               Row row, Index length) {
  for (Index first = 0; first < length; first += 16) {
    const Index end = std::min(first + 16, length);
    Index r = 0;
    for (; r + 4 <= runs; r += r + 8 <= runs ? 8 : 4) {
      const Index r_end = r + 8 <= runs ? r + 8 : r + 4;
      Index y = first;
      for (; y + 4 <= end; y += 4)
        for (Index i = r; i < r_end; i += 4)
          move.block(column + i + y * step, step, offsets + i, row + y);
      for (; y < end; ++y)
        for (Index i = r; i < r_end; ++i)
          move.entry(column + i + y * step, row + offsets[i] + y);
    }
    for (; r < runs; ++r)
      for (Index y = first; y < end; ++y)
        move.entry(column + r + y * step, row + offsets[r] + y);
  }
}

constexpr Index kTileRuns = 64, kTileRow = 512;
// Entries below which a second thread is not worth its waking.
constexpr Index kSerial = 32768;

Index blocks(Index size, Index block) { return (size + block - 1) / block; }

// R = 1: both sides are contiguous along y.
template <class Move>
void move_rows(const Move &move, const Plan &plan, const Execution &execution) {
  const Index length = std::min(plan.row, kTileRuns * kTileRow);
  const Index count = kTileRuns * kTileRow / length;
  const Index row_blocks = blocks(plan.row, length);
  parallel_for(blocks(plan.outer, count) * row_blocks, execution, [&](Index task, int) {
    const Index first = task % row_blocks * length, end = std::min(first + length, plan.row);
    const Index o_first = task / row_blocks * count;
    for (Index o = o_first; o < std::min(o_first + count, plan.outer); ++o) {
      const Index offset = row_offset(plan.outer_axes, o);
      for (Index y = first; y < end; ++y)
        move.entry(move.columns + o * plan.row + y, move.rows + offset + y);
    }
  });
}

template <class Move> void move_all(const Move &move, const Plan &plan, Execution execution) {
  if (plan.run * plan.row * plan.outer <= kSerial)
    execution.threads = 1;
  if (plan.run == 1)
    return move_rows(move, plan, execution);
  const Index run_tiles = blocks(plan.run, kTileRuns), row_tiles = blocks(plan.row, kTileRow);
  parallel_for(plan.outer * run_tiles * row_tiles, execution, [&](Index task, int) {
    const Index o = task / (run_tiles * row_tiles);
    const Index r = task / row_tiles % run_tiles * kTileRuns;
    const Index y = task % row_tiles * kTileRow;
    const Index runs = std::min(kTileRuns, plan.run - r);
    std::array<Index, kTileRuns> offsets;
    row_offsets(plan.run_axes, r, runs, offsets.data());
    move_tile(move, move.columns + r + plan.run * (y + plan.row * o), plan.run, offsets.data(),
              runs, move.rows + row_offset(plan.outer_axes, o) + y,
              std::min(kTileRow, plan.row - y));
  });
}

bool any_empty(const Index *dims, int rank) {
  return std::any_of(dims, dims + rank, [](Index extent) { return extent == 0; });
}

} // namespace

template <class S, class T>
void from_column_major(const S *src, const Index *dims, int rank, const int *order, T *dst,
                       const Execution &execution) {
  if (!any_empty(dims, rank))
    move_all(Gather<S, T>{src, dst}, make_plan(dims, rank, order), execution);
}

template <class T>
void to_column_major(const T *src, const Index *dims, int rank, const int *order, double *dst,
                     const Execution &execution) {
  if (!any_empty(dims, rank))
    move_all(Scatter<T>{dst, src}, make_plan(dims, rank, order), execution);
}

#define ATTENTIVE_FROM(S, T)                                                                       \
  template void from_column_major(const S *, const Index *, int, const int *, T *,                 \
                                  const Execution &);
ATTENTIVE_FROM(double, float)
ATTENTIVE_FROM(double, double)
ATTENTIVE_FROM(double, std::uint8_t)
ATTENTIVE_FROM(int, float)
ATTENTIVE_FROM(int, double)
ATTENTIVE_FROM(int, std::uint8_t)
#undef ATTENTIVE_FROM

template void to_column_major(const float *, const Index *, int, const int *, double *,
                              const Execution &);
template void to_column_major(const double *, const Index *, int, const int *, double *,
                              const Execution &);

} // namespace attentive
