// A batch of rows on its way through a program. A batch of independent samples
// is cut into parts that are computed side by side, each in a copy of the
// program: a thread then keeps its samples from the first node to the last, in
// place of meeting the others at each. The cut depends on shapes alone.
#pragma once

#include "dataset.h"
#include "program.h"

namespace attentive {

template <class T> class Batch {
public:
  // `rows` count from 0 and must outlive the batch. run()'s weights and settings are
  // the caller's, with wants_gradient of the weights where backward() is to follow.
  Batch(Program<T> &program, const Dataset<T> &dataset, const Index *rows, Index count);

  void forward();
  Value<T> &output(std::size_t i) { return cut() ? outputs_[i] : program_.output(i); }
  MaskValue *output_mask(std::size_t i);
  // The penalties that nodes added.
  double penalties() const { return penalties_; }

  // Then the losses write the gradients of the outputs; backward() leaves those of
  // the weights in run().
  void begin_backward();
  void backward();

  Index parts() const { return parts_; }

private:
  bool cut() const { return parts_ > 1; }
  Index first(Index part) const { return count_ * part / parts_; }
  void join_outputs();
  void hand_out_gradients(Program<T> &program, Index part);
  void add_weight_gradients();

  Program<T> &program_;
  const Dataset<T> &dataset_;
  const Index *rows_;
  Index count_, parts_ = 1;
  double penalties_ = 0;
  std::vector<Program<T> *> copies_;
  std::vector<Value<T>> outputs_; // of all parts, where there are several
  std::vector<MaskValue> masks_;
};

// The dims of the inputs for so many rows.
template <class T>
std::vector<Dims> input_dims(const Program<T> &program, const Dataset<T> &dataset, Index count) {
  std::vector<Dims> dims;
  for (std::size_t i = 0; i < program.plan().inputs.size(); ++i)
    dims.push_back(dataset.columns.at(i).batch_dims(count));
  return dims;
}

// Rows of the first columns become the inputs, as far as the program has any.
template <class T>
void load_rows(Program<T> &program, const Dataset<T> &dataset, const Index *rows, Index count);

} // namespace attentive
