// Predictions of a model for the rows of a data set.
#pragma once

#include "dataset.h"
#include "program.h"

namespace attentive {

template <class T> struct Prediction {
  Dims dims; // [rows, ...], of no rows too
  Buffer<T> data;
};

// The outputs of the program for these rows, counted from 0; its inputs are the
// first columns of the data set. At most batch_size rows are computed at a time on
// one thread. run()'s weights and execution are the caller's.
template <class T>
std::vector<Prediction<T>> predict_rows(Program<T> &program, const Dataset<T> &dataset,
                                        const std::vector<Index> &rows, Index batch_size);

} // namespace attentive
