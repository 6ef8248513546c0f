// Losses and metrics that are no formula of losses.h: a program of their own
// whose inputs are the truth and the prediction, or a function from outside.
#pragma once

#include "dataset.h"
#include "program.h"

namespace attentive {

template <class T> struct CustomValues {
  // The values for a batch, of any dims: one a sample or position, or one for all.
  std::function<Array(const DatasetColumn<T> &target, const Value<T> &prediction,
                      const Execution &execution)>
      values;
  // After values(), for the same batch: place = or += the gradient of the sum of
  // upstream * values by the prediction. Null: it cannot be trained with.
  std::function<void(const Buffer<double> &upstream, const GradientPlace<T> &place)> gradient;

  explicit operator bool() const { return static_cast<bool>(values); }
};

// By a program without weights with the inputs truth and prediction, whose samples
// have these dims, and one output.
template <class T>
CustomValues<T> values_of_program(const ProgramPlan &plan, const Dims &truth,
                                  const Dims &prediction);

// Whether the values are one for all samples of the batch.
inline bool one_for_all(const Array &values, Index samples) {
  return values.dims.empty() || (values.dims[0] != samples && values.data.size() == 1);
}

} // namespace attentive
