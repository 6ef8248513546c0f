// Models: a program and a data set as external pointers, runs on arrays and
// predictions from a data set.
//
// program_create(plan, float64)       plan: what build_program() gives
// program_run(program, inputs, variables, training, call, threads)
//     list(outputs = list of arrays, masks = list of logical arrays or NULL, penalties = number)
//     In training the states of the program (moving means) are written into their variables,
//     here and in program_gradients().
// program_gradients(program, inputs, upstream, variables, training, call, threads)
//     upstream: for each output an array or NULL;
//     list(outputs = , inputs = list of arrays or NULL, weights = list of arrays or NULL)
// dataset_create(arrays, float64)     arrays [samples, ...], each converted once
// program_predict(program, dataset, rows, batch_size, variables, threads)
//     the inputs are the first columns of the data set; rows count from 1, NULL: all;
//     a list of arrays
// pointer_alive(pointer)              FALSE for NULL and after readRDS()
#include <optional>

#include "r_written.h"

using namespace attentive;

namespace {

// Masks come as they are, in bytes, row-major.
SEXP as_logical(const MaskValue *mask) {
  if (mask == nullptr)
    return R_NilValue;
  const std::size_t rank = mask->dims.size();
  const Rcpp::IntegerVector r_dims = doorway::r_dims(mask->dims);
  Rcpp::LogicalVector out(doorway::new_vector(LGLSXP, mask->data.size()));
  Dims at(rank, 0), strides(rank, 1); // strides: in the R array
  for (std::size_t axis = 1; axis < rank; ++axis)
    strides[axis] = strides[axis - 1] * mask->dims[axis - 1];
  for (Index i = 0; i < mask->data.size(); ++i) {
    Index place = 0;
    for (std::size_t axis = 0; axis < rank; ++axis)
      place += at[axis] * strides[axis];
    out[place] = mask->data[i] != 0;
    for (std::size_t axis = rank; axis-- > 0 && ++at[axis] == mask->dims[axis];)
      at[axis] = 0;
  }
  out.attr("dim") = r_dims;
  return out;
}

template <class T>
void start(Program<T> &program, const Rcpp::List &inputs, bool training, double call,
           const Execution &execution) {
  Run<T> &run = program.run();
  run.training = training;
  run.call = static_cast<std::uint64_t>(call);
  run.batch_offset = 0;
  run.execution = execution;
  doorway::load_inputs(program, inputs, execution);
}

template <class T> Rcpp::List output_arrays(Program<T> &program, const Execution &execution) {
  Rcpp::List outputs;
  for (std::size_t i = 0; i < program.plan().outputs.size(); ++i) {
    const Value<T> &value = program.output(i);
    outputs.push_back(doorway::write_array(value.data.data(), value.dims, execution));
  }
  return outputs;
}

template <class T>
Rcpp::List run_on_arrays(Program<T> &program, const Rcpp::List &inputs, const Rcpp::List &variables,
                         bool training, double call, const Execution &execution) {
  {
    const doorway::BoundWeights<T> weights(program.run(), variables);
    start(program, inputs, training, call, execution);
    program.forward();
  }
  Rcpp::List masks;
  for (std::size_t i = 0; i < program.plan().outputs.size(); ++i)
    masks.push_back(as_logical(program.output_mask(i)));
  const Rcpp::List result = Rcpp::List::create(
      Rcpp::Named("outputs") = output_arrays(program, execution), Rcpp::Named("masks") = masks,
      Rcpp::Named("penalties") = program.run().loss);
  doorway::PendingStates<T>(program.run().weights, variables, false).write();
  return result;
}

template <class T> SEXP gradient_array(const Value<T> &value, const Execution &execution) {
  if (!value.has_gradient)
    return R_NilValue;
  return doorway::write_array(value.gradient.data(), value.dims, execution);
}

template <class T>
SEXP weight_gradient_array(const Weight<T> &weight, SEXP variable, const Execution &execution) {
  if (!weight.has_gradient)
    return R_NilValue;
  const Rcpp::IntegerVector shape = doorway::field(variable, "shape");
  return doorway::write_array(weight.gradient.data(), Dims(shape.begin(), shape.end()), execution);
}

template <class T>
Rcpp::List gradients(Program<T> &program, const Rcpp::List &inputs, const Rcpp::List &upstream,
                     const Rcpp::List &variables, bool training, double call,
                     const Execution &execution) {
  std::optional<doorway::BoundWeights<T>> weights(std::in_place, program.run(), variables);
  start(program, inputs, training, call, execution);
  program.forward();
  const Rcpp::List outputs = output_arrays(program, execution);
  for (Weight<T> &weight : program.run().weights)
    weight.wants_gradient = true;
  program.begin_backward(true);
  for (std::size_t i = 0; i < program.plan().outputs.size(); ++i) {
    SEXP arriving = upstream[static_cast<R_xlen_t>(i)];
    if (Rf_isNull(arriving))
      continue;
    Value<T> &value = program.output(i);
    Buffer<T> part(value.data.size());
    doorway::read_into(arriving, part.data(), execution);
    const GradientPlace<T> place = gradient_place<T>(value, value.data.size());
    for (Index j = 0; place.data != nullptr && j < part.size(); ++j)
      place.data[j] = place.accumulate ? place.data[j] + part[j] : part[j];
  }
  program.backward();
  Rcpp::List d_inputs, d_weights;
  for (std::size_t i = 0; i < program.plan().inputs.size(); ++i)
    d_inputs.push_back(gradient_array(program.input(i), execution));
  for (R_xlen_t i = 0; i < variables.size(); ++i)
    d_weights.push_back(weight_gradient_array(program.run().weights[static_cast<std::size_t>(i)],
                                              variables[i], execution));
  const Rcpp::List result =
      Rcpp::List::create(Rcpp::Named("outputs") = outputs, Rcpp::Named("inputs") = d_inputs,
                         Rcpp::Named("weights") = d_weights);
  weights.reset();
  doorway::PendingStates<T>(program.run().weights, variables, false).write();
  return result;
}

template <class T>
std::unique_ptr<doorway::AnyDataset> make_dataset(const Rcpp::List &arrays,
                                                  const Execution &execution) {
  Dataset<T> dataset;
  for (R_xlen_t i = 0; i < arrays.size(); ++i) {
    DatasetColumn<T> column;
    column.dims = doorway::dims_of(arrays[i]);
    column.data = Buffer<T>(count(column.dims));
    doorway::read_into(static_cast<SEXP>(arrays[i]), column.data.data(), execution);
    dataset.columns.push_back(std::move(column));
  }
  return std::make_unique<doorway::AnyDataset>(std::move(dataset));
}

template <class T>
Rcpp::List predict(Program<T> &program, const Dataset<T> &dataset, const std::vector<Index> &rows,
                   Index batch_size, const Rcpp::List &variables, const Execution &execution) {
  const doorway::BoundWeights<T> weights(program.run(), variables);
  program.run().training = false;
  program.run().execution = execution;
  const std::vector<Prediction<T>> results = predict_rows(program, dataset, rows, batch_size);
  Rcpp::List arrays;
  for (const Prediction<T> &result : results)
    arrays.push_back(doorway::write_array(result.data.data(), result.dims, execution));
  return arrays;
}

} // namespace

// [[Rcpp::export(rng = false)]]
bool pointer_alive(SEXP pointer) {
  return TYPEOF(pointer) == EXTPTRSXP && R_ExternalPtrAddr(pointer) != nullptr;
}

// [[Rcpp::export(rng = false)]]
SEXP program_create(Rcpp::List plan, bool float64) {
  return doorway::guarded([&] {
    const ProgramPlan made = doorway::as_plan(plan);
    return doorway::as_pointer(
        float64 ? std::make_unique<doorway::AnyProgram>(std::in_place_index<1>, made)
                : std::make_unique<doorway::AnyProgram>(std::in_place_index<0>, made));
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::List program_run(SEXP program, Rcpp::List inputs, Rcpp::List variables, bool training,
                       double call, int threads) {
  return doorway::guarded([&] {
    return doorway::with_program(program, [&](auto &p) {
      return run_on_arrays(p, inputs, variables, training, call, doorway::execution(threads));
    });
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::List program_gradients(SEXP program, Rcpp::List inputs, Rcpp::List upstream,
                             Rcpp::List variables, bool training, double call, int threads) {
  return doorway::guarded([&] {
    return doorway::with_program(program, [&](auto &p) {
      return gradients(p, inputs, upstream, variables, training, call, doorway::execution(threads));
    });
  });
}

// [[Rcpp::export(rng = false)]]
SEXP dataset_create(Rcpp::List arrays, bool float64, int threads) {
  return doorway::guarded([&] {
    const Execution execution = doorway::execution(threads);
    return doorway::as_pointer(float64 ? make_dataset<double>(arrays, execution)
                                       : make_dataset<float>(arrays, execution));
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::List program_predict(SEXP program, SEXP dataset, SEXP rows, int batch_size,
                           Rcpp::List variables, int threads) {
  return doorway::guarded([&] {
    return doorway::with_program(program, [&](auto &p) {
      using T = typename std::decay_t<decltype(p)>::Number;
      const auto &data = std::get<Dataset<T>>(doorway::pointee<doorway::AnyDataset>(dataset));
      return predict(p, data, doorway::as_rows(rows, data), batch_size, variables,
                     doorway::execution(threads));
    });
  });
}
