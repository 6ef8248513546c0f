#include "predict.h"

#include <stdexcept>

namespace attentive {
namespace {

// What a batch brings is appended; the first one tells how much room all need.
template <class T>
void append(const Value<T> &value, Index first, Index count, Index all, Prediction<T> &result) {
  if (value.dims.empty() || value.dims[0] != count)
    throw std::invalid_argument("an output of the model has no axis of samples");
  const Index size = value.data.size() / count;
  if (result.dims.empty()) {
    result.dims = value.dims;
    result.dims[0] = all;
    result.data = Buffer<T>(checked_product(all, size));
  }
  std::copy(value.data.data(), value.data.data() + value.data.size(),
            result.data.data() + first * size);
}

} // namespace

template <class T>
void load_rows(Program<T> &program, const Dataset<T> &dataset, const Index *rows, Index count) {
  const std::size_t inputs = program.plan().inputs.size();
  std::vector<Dims> dims;
  for (std::size_t i = 0; i < inputs; ++i)
    dims.push_back(dataset.columns.at(i).batch_dims(count));
  program.prepare(dims);
  for (std::size_t i = 0; i < inputs; ++i)
    dataset.columns[i].gather(rows, count, program.input(i).data.data());
}

template <class T>
std::vector<Prediction<T>> predict_rows(Program<T> &program, const Dataset<T> &dataset,
                                        const std::vector<Index> &rows, Index batch_size) {
  std::vector<Prediction<T>> results(program.plan().outputs.size());
  const Index all = static_cast<Index>(rows.size());
  for (Index first = 0; first < all; first += batch_size) {
    const Index count = std::min(batch_size, all - first);
    load_rows(program, dataset, rows.data() + first, count);
    program.run().batch_offset = first;
    program.forward();
    for (std::size_t i = 0; i < results.size(); ++i)
      append(program.output(i), first, count, all, results[i]);
  }
  return results;
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void load_rows<T>(Program<T> &, const Dataset<T> &, const Index *, Index);              \
  template std::vector<Prediction<T>> predict_rows<T>(Program<T> &, const Dataset<T> &,            \
                                                      const std::vector<Index> &, Index);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
