#include "broadcast.h"

#include <algorithm>

namespace attentive {

Dims broadcast_dims(const std::vector<Dims> &shapes) {
  Dims common;
  for (const Dims &shape : shapes) {
    if (shape.size() > common.size())
      common.insert(common.begin(), shape.size() - common.size(), 1);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      Index &size = common[common.size() - shape.size() + i];
      if (size == 1)
        size = shape[i];
      else if (shape[i] != 1 && shape[i] != size)
        throw std::invalid_argument("the shapes do not fit: sizes " + std::to_string(size) +
                                    " and " + std::to_string(shape[i]) + " on one axis");
    }
  }
  return common;
}

Broadcast broadcast_shapes(const std::vector<Dims> &shapes) {
  const Dims &common = shapes[0];
  Broadcast walk;
  walk.strides.resize(shapes.size());
  std::vector<Index> reach(shapes.size(), 1); // elements below the axis
  for (std::size_t i = common.size(); i-- > 0;) {
    if (common[i] == 1)
      continue;
    std::vector<Index> stride(shapes.size(), 0);
    bool joins = !walk.dims.empty(); // the axis right of it, and in every shape alike
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      const std::size_t missing = common.size() - shapes[k].size();
      if (i >= missing && shapes[k][i - missing] != 1) {
        stride[k] = reach[k];
        reach[k] *= common[i];
      }
      joins = joins && stride[k] == walk.strides[k].front() * walk.dims.front();
    }
    if (joins) {
      walk.dims.front() *= common[i];
      continue;
    }
    walk.dims.insert(walk.dims.begin(), common[i]);
    for (std::size_t k = 0; k < shapes.size(); ++k)
      walk.strides[k].insert(walk.strides[k].begin(), stride[k]);
  }
  if (walk.dims.empty()) { // a single number
    walk.dims = {1};
    walk.strides.assign(shapes.size(), {1});
  }
  return walk;
}

} // namespace attentive
