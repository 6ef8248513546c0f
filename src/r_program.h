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

// A program, and whether a call computes with it at this moment.
template <class T> struct KeptProgram {
  explicit KeptProgram(const ProgramPlan &plan) : program(plan) {}
  Program<T> program;
  bool in_use = false;
};

// One of the two precisions; std::visit() finds out which.
using AnyProgram = std::variant<KeptProgram<float>, KeptProgram<double>>;
using AnyDataset = std::variant<Dataset<float>, Dataset<double>>;

// Pointers are null after readRDS() and in another session: R asks pointer_alive() first.
template <class Object> Object &pointee(SEXP pointer) {
  return *Rcpp::XPtr<Object>(pointer).checked_get();
}

// How many external pointers R has still to finalize, which it does by code of this library.
inline int &pointers_alive() {
  static int count = 0;
  return count;
}

template <class Object> void finalize(Object *object) {
  delete object;
  --pointers_alive();
}

template <class Object> SEXP as_pointer(std::unique_ptr<Object> object) {
  ++pointers_alive();
  return Rcpp::XPtr<Object, Rcpp::PreserveStorage, finalize<Object>>(object.release());
}

inline bool in_use(SEXP program) {
  return std::visit([](const auto &kept) { return kept.in_use; }, pointee<AnyProgram>(program));
}

// Gives work() the program. A function of R that runs within a call (a metric, a
// regularizer, one in a layer) may call the same model: a program computes one thing at a
// time, so that the inner call gets one of its own, made by the same plan.
template <class Work> auto with_program(SEXP pointer, Work work) {
  struct Use {
    explicit Use(bool &is_used) : used(is_used) { used = true; }
    ~Use() { used = false; }
    Use(const Use &) = delete;
    Use &operator=(const Use &) = delete;
    bool &used;
  };
  return std::visit(
      [&](auto &kept) {
        if (kept.in_use) {
          auto own = std::make_unique<std::decay_t<decltype(kept)>>(kept.program.plan());
          return work(own->program);
        }
        const Use use(kept.in_use);
        return work(kept.program);
      },
      pointee<AnyProgram>(pointer));
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
      options.numbers[Rcpp::as<std::string>(names[i])] = Rcpp::as<std::vector<double>>(entries[i]);
  }
  if (Rf_xlength(texts) > 0) {
    const Rcpp::List entries(texts);
    const Rcpp::CharacterVector names = entries.names();
    for (R_xlen_t i = 0; i < entries.size(); ++i)
      options.texts[Rcpp::as<std::string>(names[i])] = Rcpp::as<std::string>(entries[i]);
  }
  return options;
}

// A field of an environment, as it is; no reference to it is added.
inline SEXP field(SEXP environment, const char *name) {
#if R_VERSION >= R_Version(4, 5, 0)
  return R_getVarEx(Rf_install(name), environment, FALSE, R_NilValue);
#else
  SEXP value = Rf_findVarInFrame(environment, Rf_install(name));
  return value == R_UnboundValue ? R_NilValue : value;
#endif
}

inline SEXP variable_raw(SEXP variable) {
  SEXP raw = field(variable, "value");
  if (TYPEOF(raw) != RAWSXP)
    Rcpp::stop("A variable of the model has no numbers.");
  return raw;
}

// The weights of a run are the bytes of these Variables. They are held while this
// lives, whatever R functions do in between, and must not be read afterwards.
template <class T> class BoundWeights {
public:
  BoundWeights(Run<T> &run, const Rcpp::List &variables) : run_(run), held_(variables.size()) {
    if (static_cast<std::size_t>(variables.size()) != run.weights.size())
      Rcpp::stop("The program has %d weights, %d variables came.",
                 static_cast<int>(run.weights.size()), static_cast<int>(variables.size()));
    for (R_xlen_t i = 0; i < variables.size(); ++i) {
      held_[i] = variable_raw(variables[i]);
      Weight<T> &weight = run.weights[static_cast<std::size_t>(i)];
      weight.data = raw_numbers<T>(held_[i]);
      weight.size = static_cast<Index>(Rf_xlength(held_[i])) / static_cast<Index>(sizeof(T));
    }
  }
  ~BoundWeights() {
    for (R_xlen_t i = 0; i < held_.size(); ++i)
      held_[i] = R_NilValue; // or the next writer would see them shared
    for (Weight<T> &weight : run_.weights) {
      weight.data = nullptr;
      weight.wants_gradient = false;
    }
  }
  BoundWeights(const BoundWeights &) = delete;
  BoundWeights &operator=(const BoundWeights &) = delete;

private:
  Run<T> &run_;
  Rcpp::List held_;
};

// The R array x with its axes as they are.
template <class T> void read_into(SEXP x, T *place, const Execution &execution) {
  read_into(x, natural_order(dims_of(x).size()), place, execution);
}

// Row-major numbers as an R array of these dims.
template <class T>
Rcpp::NumericVector write_array(const T *numbers, const Dims &dims, const Execution &execution) {
  Rcpp::NumericVector array = new_array(r_dims(dims));
  to_column_major(numbers, dims.data(), static_cast<int>(dims.size()),
                  natural_order(dims.size()).data(), REAL(array), execution);
  return array;
}

// An array of R's with the numbers of the engine's, and back.
inline Rcpp::NumericVector as_r_array(const Array &array) {
  return write_array(array.data.data(), array.dims, execution(1));
}
inline Array as_array(SEXP x) {
  Array array{dims_of(x), Buffer<double>(Rf_xlength(x))};
  read_into(x, array.data.data(), execution(1));
  return array;
}

// functions = list(shape = function(dims), forward = function(arrays), gradient = NULL or
// function(arrays, upstream)): dims and arrays are lists, one an input; gradient gives such a
// list of arrays.
inline std::shared_ptr<const NodeFunction> as_function(SEXP functions) {
  if (Rf_isNull(functions))
    return nullptr;
  const Rcpp::List list(functions);
  const auto as_list = [](const std::vector<Array> &arrays) {
    Rcpp::List result;
    for (const Array &array : arrays)
      result.push_back(as_r_array(array));
    return result;
  };
  auto function = std::make_shared<NodeFunction>();
  const Rcpp::Function shape = list["shape"], forward = list["forward"];
  function->shape = [=](const std::vector<Dims> &inputs) {
    Rcpp::List dims;
    for (const Dims &input : inputs)
      dims.push_back(r_dims(input));
    const std::vector<int> made = Rcpp::as<std::vector<int>>(shape(dims));
    return Dims(made.begin(), made.end());
  };
  function->forward = [=](const std::vector<Array> &inputs) {
    return as_array(Rcpp::RObject(forward(as_list(inputs))));
  };
  if (!Rf_isNull(entry(list, "gradient"))) {
    const Rcpp::Function gradient = list["gradient"];
    function->backward = [=](const std::vector<Array> &inputs, const Array &upstream) {
      const Rcpp::List made = gradient(as_list(inputs), as_r_array(upstream));
      std::vector<Array> arrays;
      for (R_xlen_t i = 0; i < made.size(); ++i)
        arrays.push_back(as_array(made[i]));
      return arrays;
    };
  }
  return function;
}

// What build_program() gives.
inline ProgramPlan as_plan(const Rcpp::List &list) {
  ProgramPlan plan;
  plan.values = Rcpp::as<int>(list["values"]);
  plan.masks = Rcpp::as<int>(list["masks"]);
  plan.weights = static_cast<int>(Rf_xlength(list["variables"]));
  plan.inputs = integers(list["inputs"]);
  plan.outputs = integers(list["outputs"]);
  plan.output_masks = integers(entry(list, "output_masks"));
  const SEXP whole_batch = entry(list, "whole_batch");
  plan.whole_batch = !Rf_isNull(whole_batch) && Rcpp::as<bool>(whole_batch);
  const Rcpp::List nodes = list["nodes"];
  for (R_xlen_t i = 0; i < nodes.size(); ++i) {
    const Rcpp::List node = nodes[i];
    ProgramNode made;
    made.op = Rcpp::as<std::string>(node["op"]);
    made.links.inputs = integers(node["inputs"]);
    made.links.outputs = integers(node["outputs"]);
    made.links.masks = integers(entry(node, "masks"));
    made.links.mask_outputs = integers(entry(node, "mask_outputs"));
    made.links.weights = integers(entry(node, "weights"));
    made.options = as_options(node);
    made.options.function = as_function(entry(node, "functions"));
    plan.nodes.push_back(std::move(made));
  }
  return plan;
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
  const R_xlen_t count = Rf_xlength(rows);
  result.reserve(static_cast<std::size_t>(count));
  with_numbers(rows, [&](const auto *numbers) {
    for (R_xlen_t i = 0; i < count; ++i) {
      const double row = static_cast<double>(numbers[i]);
      if (!(row >= 1 && row <= static_cast<double>(samples)))
        Rcpp::stop("There is no row %g in the data.", row);
      result.push_back(static_cast<Index>(row) - 1);
    }
  });
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
