// The data that a model is trained on or predicts from: columns of numbers,
// converted once, from which batches are picked by row.
#pragma once

#include <algorithm>
#include <vector>

#include "node.h"

namespace attentive {

// [samples, ...], row-major.
template <class T> struct DatasetColumn {
  Dims dims;
  Buffer<T> data;

  Index samples() const { return dims[0]; }
  Index row_size() const { return dims[0] == 0 ? 0 : data.size() / dims[0]; }
  // The dims of a batch of so many rows.
  Dims batch_dims(Index rows) const {
    Dims batch = dims;
    batch[0] = rows;
    return batch;
  }
  // Rows picked by index, from 0, one after the other.
  void gather(const Index *rows, Index count, T *place) const {
    const Index size = row_size();
    for (Index i = 0; i < count; ++i)
      std::copy(data.data() + rows[i] * size, data.data() + (rows[i] + 1) * size, place + i * size);
  }
};

template <class T> struct Dataset { std::vector<DatasetColumn<T>> columns; };

} // namespace attentive
