// What the doorway's files about models share: programs and data sets as
// external pointers, the Variables' numbers as weights of a run.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "r_common.h"

#include "engine/predict.h"

namespace attentive {
namespace doorway {

// One of the two precisions; std::visit() finds out which.
using AnyProgram = std::variant<Program<float>, Program<double>>;
using AnyDataset = std::variant<Dataset<float>, Dataset<double>>;

// Pointers are null after readRDS() and in another session: R asks pointer_alive() first.
template <class Object> Object &pointee(SEXP pointer) {
  return *Rcpp::XPtr<Object>(pointer).checked_get();
}

template <class Object> SEXP as_pointer(std::unique_ptr<Object> object) {
  return Rcpp::XPtr<Object>(object.release());
}

// An entry of a list, NULL where it is missing.
inline SEXP entry(const Rcpp::List &list, const char *name) {
  return list.containsElementNamed(name) ? static_cast<SEXP>(list[name]) : R_NilValue;
}

inline std::vector<int> integers(SEXP x) {
  return Rf_isNull(x) ? std::vector<int>() : Rcpp::as<std::vector<int>>(x);
}

// list(numbers = list(name = c(...)), texts = list(name = "..."))
inline NodeOptions as_options(const Rcpp::List &list) {
  NodeOptions options;
  SEXP numbers = entry(list, "numbers"), texts = entry(list, "texts");
  if (Rf_xlength(numbers) > 0) {
    const Rcpp::List entries(numbers);
    const Rcpp::CharacterVector names = entries.names();
    for (R_xlen_t i = 0; i < entries.size(); ++i)
      options.numbers[Rcpp::as<std::string>(names[i])] =
          Rcpp::as<std::vector<double>>(entries[i]);
  }
  if (Rf_xlength(texts) > 0) {
    const Rcpp::List entries(texts);
    const Rcpp::CharacterVector names = entries.names();
    for (R_xlen_t i = 0; i < entries.size(); ++i)
      options.texts[Rcpp::as<std::string>(names[i])] = Rcpp::as<std::string>(entries[i]);
  }
  return options;
}

inline SEXP variable_raw(SEXP variable) {
  static const SEXP name = Rf_install("value");
  SEXP raw = Rf_findVarInFrame(variable, name);
  if (TYPEOF(raw) != RAWSXP)
    Rcpp::stop("A variable of the model has no numbers.");
  return raw;
}

// The weights of a run are the bytes of these Variables. They stay where they
// are as long as no R code runs that could replace them.
template <class T> void bind_weights(Run<T> &run, const Rcpp::List &variables) {
  if (static_cast<std::size_t>(variables.size()) != run.weights.size())
    Rcpp::stop("The program has %d weights, %d variables came.",
               static_cast<int>(run.weights.size()), static_cast<int>(variables.size()));
  for (R_xlen_t i = 0; i < variables.size(); ++i) {
    SEXP raw = variable_raw(variables[i]);
    Weight<T> &weight = run.weights[static_cast<std::size_t>(i)];
    weight.data = raw_numbers<T>(raw);
    weight.size = static_cast<Index>(Rf_xlength(raw)) / static_cast<Index>(sizeof(T));
  }
}

// Weights must not be read after the call that bound them.
template <class T> struct BoundWeights {
  BoundWeights(Run<T> &run, const Rcpp::List &variables) : run_(run) {
    bind_weights(run, variables);
  }
  ~BoundWeights() {
    for (Weight<T> &weight : run_.weights) {
      weight.data = nullptr;
      weight.wants_gradient = false;
    }
  }
  BoundWeights(const BoundWeights &) = delete;
  BoundWeights &operator=(const BoundWeights &) = delete;

private:
  Run<T> &run_;
};

// The R array x, numeric, integer or logical, as row-major T at `place`.
template <class T> void read_into(SEXP x, T *place, const Execution &execution) {
  const std::vector<Index> dims = dims_of(x);
  const std::vector<int> order = natural_order(dims.size());
  const int rank = static_cast<int>(dims.size());
  if (TYPEOF(x) == REALSXP)
    from_column_major(REAL(x), dims.data(), rank, order.data(), place, execution);
  else
    from_column_major(TYPEOF(x) == LGLSXP ? LOGICAL(x) : INTEGER(x), dims.data(), rank,
                      order.data(), place, execution);
}

// Row-major numbers as an R array of these dims.
template <class T>
Rcpp::NumericVector write_array(const T *numbers, const Dims &dims, const Execution &execution) {
  Rcpp::NumericVector array = new_array(Rcpp::IntegerVector(dims.begin(), dims.end()));
  to_column_major(numbers, dims.data(), static_cast<int>(dims.size()),
                  natural_order(dims.size()).data(), REAL(array), execution);
  return array;
}

// Rows as the engine counts them; `rows` count from 1, NULL means all.
template <class T> std::vector<Index> as_rows(SEXP rows, const Dataset<T> &dataset) {
  const Index samples = dataset.columns.empty() ? 0 : dataset.columns[0].samples();
  std::vector<Index> result;
  if (Rf_isNull(rows)) {
    for (Index i = 0; i < samples; ++i)
      result.push_back(i);
    return result;
  }
  for (double row : Rcpp::as<std::vector<double>>(rows)) {
    if (!(row >= 1 && row <= static_cast<double>(samples)))
      Rcpp::stop("There is no row %g in the data.", row);
    result.push_back(static_cast<Index>(row) - 1);
  }
  return result;
}

// As `model(x)` runs it: inputs from R arrays.
template <class T>
void load_inputs(Program<T> &program, const Rcpp::List &inputs, const Execution &execution) {
  std::vector<Dims> dims;
  for (R_xlen_t i = 0; i < inputs.size(); ++i)
    dims.push_back(dims_of(inputs[i]));
  program.prepare(dims);
  for (R_xlen_t i = 0; i < inputs.size(); ++i)
    read_into(inputs[i], program.input(static_cast<std::size_t>(i)).data.data(), execution);
}

} // namespace doorway
} // namespace attentive
