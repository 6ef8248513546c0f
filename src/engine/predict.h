// Predictions of a model for the rows of a data set, batch by batch.
#pragma once

#include "dataset.h"
#include "program.h"

namespace attentive {

template <class T> struct Prediction {
  Dims dims; // [rows, ...]
  Buffer<T> data;
};

// The outputs of the program for these rows, counted from 0; its inputs are the
// first columns of the data set. run()'s weights and execution are the caller's.
template <class T>
std::vector<Prediction<T>> predict_rows(Program<T> &program, const Dataset<T> &dataset,
                                        const std::vector<Index> &rows, Index batch_size);

// Rows of the first columns become the inputs, as far as the program has any.
template <class T>
void load_rows(Program<T> &program, const Dataset<T> &dataset, const Index *rows, Index count);

} // namespace attentive
