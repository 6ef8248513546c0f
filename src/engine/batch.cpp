#include "batch.h"

#include <stdexcept>

#include "kernels/table.h"

namespace attentive {
namespace {

// A part has at least this many numbers in the largest of its values: less is
// not worth a thread's waking. Samples of more give every node enough to share.
constexpr Index kSmallestPart = 32768;
constexpr Index kMostParts = 16;

// Into how many parts a batch is cut. Not where the copies of the weights'
// gradients, or those of the outputs, would be as large as what is computed.
template <class T> Index parts_of(Program<T> &program, const Dataset<T> &dataset, Index count) {
  if (count < 2 || !program.separable())
    return 1;
  const std::vector<Dims> dims = input_dims(program, dataset, 1);
  return program.remembered(dims, count, [&] {
    program.prepare(dims);
    Index largest = 0, all = 0, outputs = 0, weights = 0;
    for (const Value<T> &value : program.run().values) {
      largest = std::max(largest, value.data.size());
      all += value.data.size();
    }
    for (const Weight<T> &weight : program.run().weights)
      weights += weight.size;
    for (std::size_t i = 0; i < program.plan().outputs.size(); ++i)
      outputs += program.output(i).data.size();
    Index parts = std::min({count, kMostParts, count * largest / kSmallestPart});
    if (weights > 0)
      parts = std::min(parts, all * count / weights);
    return 2 * outputs > all || largest > kSmallestPart ? 1 : std::max<Index>(parts, 1);
  });
}

// The entries of a part inside those of the batch.
template <class Whole> Index entries(const Whole &whole, Index rows) {
  return whole.dims[0] == 0 ? 0 : whole.data.size() / whole.dims[0] * rows;
}

void check_samples(const Dims &dims, Index count) {
  if (dims.empty() || dims[0] != count)
    throw std::invalid_argument("an output of the model has no axis of samples");
}

// Room for all parts of what `part`, with `count` rows, is the first of.
template <class Whole, class Part>
void make_room(Whole &whole, const Part &part, Index count, Index all) {
  check_samples(part.dims, count);
  whole.dims = part.dims;
  whole.dims[0] = all;
  whole.data = decltype(whole.data)(attentive::count(whole.dims));
}

} // namespace

template <class T>
void load_rows(Program<T> &program, const Dataset<T> &dataset, const Index *rows, Index count) {
  program.prepare(input_dims(program, dataset, count));
  for (std::size_t i = 0; i < program.plan().inputs.size(); ++i)
    dataset.columns[i].gather(rows, count, program.input(i).data.data());
}

template <class T>
Batch<T>::Batch(Program<T> &program, const Dataset<T> &dataset, const Index *rows, Index count)
    : program_(program), dataset_(dataset), rows_(rows), count_(count),
      parts_(parts_of(program, dataset, count)) {
  for (Index part = 0; cut() && part < parts_; ++part) {
    copies_.push_back(&program.copy(static_cast<std::size_t>(part)));
    copies_.back()->run().batch_offset = program.run().batch_offset + first(part);
    copies_.back()->run().execution = Execution(); // a part stays on its thread
  }
}

template <class T> void Batch<T>::forward() {
  if (!cut()) {
    load_rows(program_, dataset_, rows_, count_);
    program_.forward();
    penalties_ = program_.run().loss;
    return;
  }
  parallel_for(parts_, program_.run().execution, [&](Index part, int) {
    Program<T> &copy = *copies_[static_cast<std::size_t>(part)];
    load_rows(copy, dataset_, rows_ + first(part), first(part + 1) - first(part));
    copy.forward();
  });
  join_outputs();
}

template <class T> void Batch<T>::join_outputs() {
  const std::size_t count = program_.plan().outputs.size();
  outputs_.resize(count);
  masks_.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    for (Index part = 0; part < parts_; ++part) {
      Program<T> &copy = *copies_[static_cast<std::size_t>(part)];
      const Index at = first(part), rows = first(part + 1) - at;
      const Value<T> &value = copy.output(i);
      const MaskValue *mask = copy.output_mask(i);
      if (part == 0) {
        make_room(outputs_[i], value, rows, count_);
        if (mask != nullptr)
          make_room(masks_[i], *mask, rows, count_);
      }
      std::copy_n(value.data.data(), value.data.size(),
                  outputs_[i].data.data() + entries(outputs_[i], at));
      if (mask != nullptr)
        std::copy_n(mask->data.data(), mask->data.size(),
                    masks_[i].data.data() + entries(masks_[i], at));
    }
}

template <class T> MaskValue *Batch<T>::output_mask(std::size_t i) {
  MaskValue *mask = program_.output_mask(i);
  return cut() && mask != nullptr ? &masks_[i] : mask;
}

template <class T> void Batch<T>::begin_backward() {
  if (!cut())
    return program_.begin_backward();
  for (Program<T> *copy : copies_)
    copy->begin_backward();
  for (Weight<T> &weight : program_.run().weights)
    weight.has_gradient = false;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].wants_gradient = copies_[0]->output(i).wants_gradient;
    outputs_[i].has_gradient = false;
  }
}

template <class T> void Batch<T>::backward() {
  if (!cut())
    return program_.backward();
  parallel_for(parts_, program_.run().execution, [&](Index part, int) {
    Program<T> &copy = *copies_[static_cast<std::size_t>(part)];
    hand_out_gradients(copy, part);
    copy.backward();
  });
  add_weight_gradients();
}

template <class T> void Batch<T>::hand_out_gradients(Program<T> &copy, Index part) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (!outputs_[i].has_gradient)
      continue;
    Value<T> &value = copy.output(i); // two outputs may be one value
    const GradientPlace<T> place = gradient_place<T>(value, value.data.size());
    const T *from = outputs_[i].gradient.data() + entries(outputs_[i], first(part));
    for (Index j = 0; place.data != nullptr && j < value.data.size(); ++j)
      place.data[j] = place.accumulate ? place.data[j] + from[j] : from[j];
  }
}

// In the order of the parts, so that the sum is the same for any number of threads.
template <class T> void Batch<T>::add_weight_gradients() {
  constexpr Index kTask = 65536;
  std::vector<Weight<T>> &weights = program_.run().weights;
  for (std::size_t w = 0; w < weights.size(); ++w) {
    if (!copies_[0]->run().weights[w].has_gradient)
      continue;
    const Index size = weights[w].size;
    T *sum = gradient_place<T>(weights[w], size).data;
    parallel_for((size + kTask - 1) / kTask, program_.run().execution, [&](Index task, int) {
      const Index begin = task * kTask, end = std::min(begin + kTask, size);
      for (Index part = 0; part < parts_; ++part) {
        const T *from = copies_[static_cast<std::size_t>(part)]->run().weights[w].gradient.data();
        if (part == 0)
          std::copy(from + begin, from + end, sum + begin);
        else
          kernels<T>().rows.add_to(end - begin, from + begin, sum + begin);
      }
    });
  }
}

template class Batch<float>;
template class Batch<double>;
template void load_rows<float>(Program<float> &, const Dataset<float> &, const Index *, Index);
template void load_rows<double>(Program<double> &, const Dataset<double> &, const Index *, Index);

} // namespace attentive
