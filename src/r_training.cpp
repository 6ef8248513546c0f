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
//   outputs      FALSE; TRUE: each step gives the model's outputs back, for metrics in R
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
//   cosine_similarity
//   function: fun = function(y_true, y_pred) one value for each sample,
//             gradient = function(y_true, y_pred) derivatives of the sum of the values by
//             y_pred, an array like it; without one it can be evaluated, not trained with
// Metrics: every kind of loss (its mean), and
//   accuracy (equality), binary_accuracy: threshold = 0.5, categorical_accuracy,
//   sparse_categorical_accuracy, top_k_categorical_accuracy: k = 5,
//   sparse_top_k_categorical_accuracy: k = 5
//   (root_mean_squared_error is R's: the square root of mean_squared_error's value)
// Optimizers
//   sgd: momentum = 0, nesterov = FALSE                      slots: momentum (where it is not 0)
//   adam, adam_w: beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7, amsgrad = FALSE
//                                                            slots: momentum, velocity (, velocity_hat)
//   rmsprop: rho = 0.9, momentum = 0, epsilon = 1e-7, centered = FALSE
//                                                            slots: velocity (, momentum) (, average_gradient)
//   all: weight_decay = NULL, clipnorm = NULL, global_clipnorm = NULL, clipvalue = NULL
//
// training_slots(training)   the names of the optimizer's slots, the same for each variable
//
// training_step(program, training, dataset, columns, rows, variables, slots, step, learning_rate,
//               call, threads)
//   columns      list(y =, sample_weight =): for each output its column of the data set,
//                from 1, 0 for none. The model's inputs are the first columns.
//   rows         which rows of the data set, from 1
//   variables    the program's, as build_program() gave them
//   slots        for each variable a list of Variables (zeros at first, like the variable in
//                shape and dtype) in the order of training_slots(); NULL where it is not trained
//   step         number of this update, from 1
//   call         what dropout draws by
//   list of
//     loss       c(sum, weight): the total loss with penalties times the rows, and the rows
//     losses     for each output c(sum, weight) of its own loss, without its weight
//     metrics    for each metric c(sum, weight)
//     finite     whether the total loss is
//     updated    FALSE where stop_on_nan held the update back
//     outputs    list of arrays, where the plan asks for them
//   The states add up over batches; the value is sum / weight.
// test_step(program, training, dataset, columns, rows, batch_size, variables, threads)
//   the same without backward pass and update, over all rows in batches; without `updated`
//
// A sample weight has the axes of the loss's values (those of the output but the
// last), or fewer: [samples] weighs all that belongs to a sample.
// Nothing is changed by a call that ends in an error or is interrupted.
#include "r_program.h"
