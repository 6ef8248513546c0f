// From R's column-major arrays to the engine's row-major ones and back: order
// of axes, order of memory and precision change in one pass, without a copy in
// between.
#pragma once

#include "parallel.h"

namespace attentive {

// `dims` are the extents of the R array, first index fastest. Axis i of the
// row-major array is axis order[i] of the R array: order = {0, 1, ..., rank - 1}
// keeps the logical axes.
//
// S is double or int (R's integer and logical; NA becomes NaN), T is float,
// double or std::uint8_t (1 where the entry is not 0: masks).
template <class S, class T>
void from_column_major(const S *src, const Index *dims, int rank, const int *order, T *dst,
                       const Execution &execution);

// The inverse: the same dims and order give the R array back.
template <class T>
void to_column_major(const T *src, const Index *dims, int rank, const int *order, double *dst,
                     const Execution &execution);

} // namespace attentive
