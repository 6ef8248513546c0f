// Shapes that fit onto each other: axes are lined up from the right, a size of
// 1 serves any other.
#pragma once

#include "node.h"

namespace attentive {

// What all shapes broadcast to; std::invalid_argument where they do not fit.
Dims broadcast_dims(const std::vector<Dims> &shapes);

// A walk over a shape and the shapes that broadcast to it, in rows: axes that
// all of them cross in the same way are one.
struct Broadcast {
  Dims dims;                 // at least one axis; the rows are the last
  std::vector<Dims> strides; // of each shape; 0 where it broadcasts

  Index row_size() const { return dims.back(); }
  Index rows() const { return row_size() == 0 ? 0 : count(dims) / row_size(); }
};

// `shapes[0]` is the common shape.
Broadcast broadcast_shapes(const std::vector<Dims> &shapes);

// body(at, n, step) for rows first <= row < last: at[k] is where the row begins
// in shape k, and step[k], 0 or 1, how it goes on there.
template <class Body>
void for_broadcast(const Broadcast &broadcast, Index first, Index last, const Body &body) {
  if (first >= last) // an axis may be empty, and its size is divided by
    return;
  const std::size_t shapes = broadcast.strides.size(), outer = broadcast.dims.size() - 1;
  std::vector<Index> at(shapes, 0), step(shapes), place(outer);
  for (std::size_t k = 0; k < shapes; ++k)
    step[k] = broadcast.strides[k].back();
  Index rest = first;
  for (std::size_t i = outer; i-- > 0;) {
    place[i] = rest % broadcast.dims[i];
    rest /= broadcast.dims[i];
    for (std::size_t k = 0; k < shapes; ++k)
      at[k] += place[i] * broadcast.strides[k][i];
  }
  for (Index row = first; row < last; ++row) {
    body(at.data(), broadcast.row_size(), step.data());
    for (std::size_t i = outer; i-- > 0;) {
      const bool wraps = ++place[i] == broadcast.dims[i];
      for (std::size_t k = 0; k < shapes; ++k)
        at[k] += broadcast.strides[k][i] * (wraps ? 1 - broadcast.dims[i] : 1);
      if (!wraps)
        break;
      place[i] = 0;
    }
  }
}

template <class Body> void for_broadcast(const Broadcast &broadcast, const Body &body) {
  for_broadcast(broadcast, 0, broadcast.rows(), body);
}

} // namespace attentive
