#include "custom_values.h"

#include <algorithm>
#include <stdexcept>

namespace attentive {
namespace {

Dims batch_of(Index samples, const Dims &sizes) {
  Dims dims = {samples};
  dims.insert(dims.end(), sizes.begin(), sizes.end());
  return dims;
}

template <class T> void fill(Value<T> &input, const T *numbers, Index size) {
  if (input.data.size() != size)
    throw std::invalid_argument("a truth or prediction does not have the shape of its loss");
  std::copy(numbers, numbers + size, input.data.data());
}

template <class T>
Array run_forward(Program<T> &program, const Dims &truth, const Dims &prediction,
                  const DatasetColumn<T> &y, const Value<T> &p, const Execution &execution) {
  program.run().training = false;
  program.run().execution = execution;
  const Index samples = y.dims.at(0);
  program.prepare({batch_of(samples, truth), batch_of(samples, prediction)});
  fill(program.input(0), y.data.data(), y.data.size());
  fill(program.input(1), p.data.data(), p.data.size());
  program.forward();
  const Value<T> &output = program.output(0);
  Array values{output.dims, Buffer<double>(output.data.size())};
  std::copy(output.data.data(), output.data.data() + output.data.size(), values.data.data());
  return values;
}

template <class T>
void run_backward(Program<T> &program, const Buffer<double> &upstream,
                  const GradientPlace<T> &place) {
  program.begin_backward(true);
  const GradientPlace<T> arriving = gradient_place<T>(program.output(0), upstream.size());
  for (Index i = 0; arriving.data != nullptr && i < upstream.size(); ++i)
    arriving.data[i] = static_cast<T>(upstream[i]);
  program.backward();
  const Value<T> &p = program.input(1);
  for (Index i = 0; i < p.data.size(); ++i) {
    const T d = p.has_gradient ? p.gradient[i] : T(0);
    place.data[i] = place.accumulate ? place.data[i] + d : d;
  }
}

} // namespace

template <class T>
CustomValues<T> values_of_program(const ProgramPlan &plan, const Dims &truth,
                                  const Dims &prediction) {
  const auto program = std::make_shared<Program<T>>(plan);
  CustomValues<T> custom;
  custom.values = [=](const DatasetColumn<T> &y, const Value<T> &p, const Execution &execution) {
    return run_forward(*program, truth, prediction, y, p, execution);
  };
  custom.gradient = [=](const Buffer<double> &upstream, const GradientPlace<T> &place) {
    run_backward(*program, upstream, place);
  };
  return custom;
}

template CustomValues<float> values_of_program<float>(const ProgramPlan &, const Dims &,
                                                      const Dims &);
template CustomValues<double> values_of_program<double>(const ProgramPlan &, const Dims &,
                                                        const Dims &);

} // namespace attentive
