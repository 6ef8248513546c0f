// Training: losses, metrics, penalties, constraints and an optimizer as an
// external pointer; one step of training, or the evaluation of many rows, as one
// call.
//
// training_create(plan, float64), plan a list of
//   losses       for each output of the model NULL (no loss) or a list of
//                  kind       see below
//                  weight     1
//                  reduction  "sum_over_batch_size" (or "mean"), "sum", "mean_with_sample_weight"
//                  and the options of the kind
//   metrics      for each metric a list of
//                  output     which output it looks at, from 1
//                  kind       see below; any kind of loss too
//                  weighted   FALSE; TRUE: sample weights count (the mask always does)
//                  and the options of the kind
//   shapes       the shape of each variable of the program, in its order
//   trainable    for each variable whether it is trained
//   penalties    for each variable NULL, what engine_penalty() gives, or
//                  list(value = function(raw) number, gradient = function(raw) raw):
//                  functions of the variable's bytes. Only trained variables are penalised.
//   constraints  for each variable NULL, what constrain_values() takes as `config`, or a
//                  function(raw) that gives the new bytes
//   decayed      for each variable whether weight decay applies; all where it is missing
//   optimizer    list(kind =, options): see below; NULL where nothing is trained
//   stop_on_nan  FALSE; TRUE: a step whose loss is not finite changes nothing
// Missing or NULL entries mean the default. Names of options are Keras's:
//
// Losses (kind: options with their defaults)
//   mean_squared_error, mean_absolute_error
//   huber: delta = 1
//   binary_crossentropy: from_logits = FALSE, label_smoothing = 0
//   categorical_crossentropy: from_logits = FALSE, label_smoothing = 0
//   sparse_categorical_crossentropy: from_logits = FALSE, ignore_class = NULL
//   mean_absolute_percentage_error, mean_squared_logarithmic_error, log_cosh, poisson,
//   kl_divergence, hinge, squared_hinge, categorical_hinge
//   binary_focal_crossentropy: apply_class_balancing = FALSE, alpha = 0.25, gamma = 2,
//             from_logits = FALSE, label_smoothing = 0
//   categorical_focal_crossentropy: alpha = 0.25 (one or one a class), gamma = 2, and the same
//   cosine_similarity
//   function: fun = function(y_true, y_pred) one value for each sample,
//             gradient = function(y_true, y_pred) derivatives of the sum of the values by
//             y_pred, an array like it; without one it can be evaluated, not trained with
//   program:  program = what build_program() gives, without weights, with the inputs truth and
//             prediction; truth, prediction = the sizes of a sample of each. It gives values of any
//             dims, or one for all.
// Metrics: every kind of loss (its mean), and
//   accuracy (equality), binary_accuracy: threshold = 0.5, categorical_accuracy,
//   sparse_categorical_accuracy, top_k_categorical_accuracy: k = 5,
//   sparse_top_k_categorical_accuracy: k = 5
//   cosine_proximity (the loss cosine_similarity with the other sign)
//   histogram: thresholds, top_k = NULL, class_id = NULL (from 0), by_label = FALSE, soft = FALSE
//   class_counts: threshold = NULL
//   regression
//   The last three have more than two sums: see engine/metrics.h.
//   program: as of losses; function: fun = function(y_true, y_pred) values of any dims
//   (root_mean_squared_error is R's: the square root of mean_squared_error's value)
// Optimizers
//   sgd: momentum = 0, nesterov = FALSE                      slots: momentum (where it is not 0)
//   adam, adam_w: beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7, amsgrad = FALSE
//                                                            slots: momentum, velocity (,
//                                                            velocity_hat)
//   rmsprop: rho = 0.9, momentum = 0, epsilon = 1e-7, centered = FALSE
//                                                            slots: velocity (, momentum) (,
//                                                            average_gradient)
//   adagrad, adadelta, adamax, nadam, lion, ftrl, lamb: the arguments of optimizer_*(); slots
//   as slot_names() gives them
//   all: weight_decay = NULL, clipnorm = NULL, global_clipnorm = NULL, clipvalue = NULL,
//        gradient_accumulation_steps = NULL, use_ema = FALSE, ema_momentum = 0.99,
//        ema_overwrite_frequency = NULL; then there are more slots: average, gradient_accumulator
//
// training_slots(training)   the names of the optimizer's slots, the same for each variable
//
// training_step(program, training, dataset, columns, rows, variables, slots, step, learning_rate,
//               call, threads)
//   columns      list(y =, sample_weight =): for each output its column of the data set,
//                from 1, 0 for none. The model's inputs are the first columns.
//   rows         which rows of the data set, from 1
//   variables    the program's, as build_program() gave them
//   slots        for each variable a list of Variables (like the variable in
//                shape and dtype) in the order of training_slots(); NULL where it is not trained
//   step         number of this step, from 1
//   call         what dropout draws by
//   list of
//     loss       c(sum, weight): the total loss with penalties times the rows, and the rows
//     losses     for each output c(sum, weight) of its own loss, without its weight
//     metrics    for each metric c(sum, weight), or its other sums
//     finite     whether the total loss is
//     updated    FALSE where stop_on_nan held the update back
//   The states add up over batches; the value is sum / weight.
// test_step(program, training, dataset, columns, rows, batch_size, variables, threads)
//   the same without backward pass and update, over all rows in batches; without `updated`
//
// A sample weight has the axes of the loss's values (those of the output but the
// last), or fewer: [samples] weighs all that belongs to a sample.
// Nothing is changed by a call that ends in an error or is interrupted.
#include "r_training_plan.h"
#include "r_written.h"

using namespace attentive;

namespace {

// The update ------------------------------------------------------------------------

// Everything that can fail comes first: copies are made and R functions called
// before a Variable is touched.
template <class T>
void update(const doorway::TrainingHandle<T> &training, std::vector<Weight<T>> &weights,
            const Rcpp::List &variables, const Rcpp::List &slots, double step,
            double learning_rate) {
  const std::size_t slot_count = slot_names(training.plan.optimizer).size();
  const doorway::PendingStates<T> states(weights, variables, training.r_constraints);
  std::vector<doorway::Written> written;
  std::vector<UpdatedWeight<T>> targets(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const bool averaged =
        training.plan.optimizer.ema_momentum && training.plan.weights[i].trainable;
    if (!weights[i].has_gradient && !averaged)
      continue;
    written.emplace_back(variables[static_cast<R_xlen_t>(i)], training.r_constraints);
    targets[i].data = written.back().template numbers<T>();
    const Index bytes = written.back().bytes();
    targets[i].size = bytes / static_cast<Index>(sizeof(T));
    targets[i].decayed = training.plan.weights[i].decayed;
    const Rcpp::List own = slots[static_cast<R_xlen_t>(i)];
    if (static_cast<std::size_t>(own.size()) != slot_count)
      Rcpp::stop("The optimizer has %d slots for each weight, %d came.",
                 static_cast<int>(slot_count), static_cast<int>(own.size()));
    for (SEXP slot : own) {
      written.emplace_back(slot, training.r_constraints);
      if (written.back().bytes() != bytes)
        Rcpp::stop("A slot of the optimizer does not have the size of its weight.");
      targets[i].slots.push_back(written.back().template numbers<T>());
    }
  }
  finish_step(training.plan.optimizer, step, learning_rate, weights, targets);
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (weights[i].has_gradient && training.plan.weights[i].constraint)
      training.plan.weights[i].constraint(targets[i].data, targets[i].size);
  for (const doorway::Written &w : written)
    w.give();
  states.write();
}

// Results ---------------------------------------------------------------------------

Rcpp::NumericVector as_state(const State &state) {
  return Rcpp::NumericVector::create(state.sum, state.weight);
}

Rcpp::List as_states(const std::vector<State> &states) {
  Rcpp::List list(static_cast<R_xlen_t>(states.size()));
  for (std::size_t i = 0; i < states.size(); ++i)
    list[static_cast<R_xlen_t>(i)] = as_state(states[i]);
  return list;
}

Rcpp::List as_result(const StepResult &result, bool updated) {
  return Rcpp::List::create(
      Rcpp::Named("loss") = as_state(result.loss), Rcpp::Named("losses") = as_states(result.losses),
      Rcpp::Named("metrics") = Rcpp::wrap(result.metrics), Rcpp::Named("finite") = result.finite,
      Rcpp::Named("updated") = updated);
}

template <class T>
Rcpp::List train(Program<T> &program, const doorway::TrainingHandle<T> &training,
                 const Dataset<T> &dataset, const StepColumns &columns, SEXP rows,
                 const Rcpp::List &variables, const Rcpp::List &slots, double step,
                 double learning_rate, double call, const Execution &execution) {
  if (!training.trains)
    Rcpp::stop("Training needs an optimizer.");
  Run<T> &run = program.run();
  const std::vector<Index> picked = doorway::as_rows(rows, dataset);
  run.call = static_cast<std::uint64_t>(call);
  run.batch_offset = 0;
  run.execution = execution;
  StepResult result;
  {
    const doorway::BoundWeights<T> weights(run, variables);
    result = compute_step(program, training.plan, dataset, columns, picked.data(),
                          static_cast<Index>(picked.size()), true);
  }
  const bool updated = result.finite || !training.plan.stop_on_nan;
  const Rcpp::List answer = as_result(result, updated);
  if (updated)
    update(training, run.weights, variables, slots, step, learning_rate);
  return answer;
}

template <class T>
Rcpp::List test(Program<T> &program, const doorway::TrainingHandle<T> &training,
                const Dataset<T> &dataset, const StepColumns &columns, SEXP rows, Index batch_size,
                const Rcpp::List &variables, const Execution &execution) {
  const doorway::BoundWeights<T> weights(program.run(), variables);
  program.run().batch_offset = 0;
  program.run().execution = execution;
  const StepResult result = evaluate_rows(program, training.plan, dataset, columns,
                                          doorway::as_rows(rows, dataset), batch_size);
  return as_result(result, false);
}

} // namespace

// [[Rcpp::export(rng = false)]]
SEXP training_create(Rcpp::List plan, bool float64) {
  return doorway::guarded([&] {
    return doorway::as_pointer(
        float64 ? std::make_unique<doorway::AnyTraining>(doorway::read_training<double>(plan))
                : std::make_unique<doorway::AnyTraining>(doorway::read_training<float>(plan)));
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::CharacterVector training_slots(SEXP training) {
  return std::visit([](const auto &t) { return Rcpp::wrap(slot_names(t.plan.optimizer)); },
                    doorway::pointee<doorway::AnyTraining>(training));
}

// [[Rcpp::export(rng = false)]]
Rcpp::List training_step(SEXP program, SEXP training, SEXP dataset, Rcpp::List columns, SEXP rows,
                         Rcpp::List variables, Rcpp::List slots, double step, double learning_rate,
                         double call, int threads) {
  return doorway::guarded([&] {
    if (doorway::in_use(program))
      doorway::raise("abort_nested_step");
    return doorway::with_program(program, [&](auto &p) {
      using T = typename std::decay_t<decltype(p)>::Number;
      return train(
          p, std::get<doorway::TrainingHandle<T>>(doorway::pointee<doorway::AnyTraining>(training)),
          std::get<Dataset<T>>(doorway::pointee<doorway::AnyDataset>(dataset)),
          doorway::read_columns(columns), rows, variables, slots, step, learning_rate, call,
          doorway::execution(threads));
    });
  });
}

// [[Rcpp::export(rng = false)]]
Rcpp::List test_step(SEXP program, SEXP training, SEXP dataset, Rcpp::List columns, SEXP rows,
                     int batch_size, Rcpp::List variables, int threads) {
  return doorway::guarded([&] {
    return doorway::with_program(program, [&](auto &p) {
      using T = typename std::decay_t<decltype(p)>::Number;
      return test(
          p, std::get<doorway::TrainingHandle<T>>(doorway::pointee<doorway::AnyTraining>(training)),
          std::get<Dataset<T>>(doorway::pointee<doorway::AnyDataset>(dataset)),
          doorway::read_columns(columns), rows, batch_size, variables, doorway::execution(threads));
    });
  });
}
