// Doorway: initializers, regularizers and constraints.
//
// Numbers come as the bytes of a variable (row-major, float or double) or as an
// R array of doubles. An R array [d1, ..., dk] is, number by number, a
// row-major array [dk, ..., d1]: its shape and axes are turned round, nothing
// is copied.
#include "attentive_types.h"

#include <algorithm>
#include <type_traits>

#include "engine/constraints.h"
#include "engine/initializers.h"
#include "engine/random.h"
#include "engine/regularizers.h"
#include "r_common.h"

using attentive::Index;
using attentive::Shape;

namespace {

// Streams of initial values; apart from those of other uses of a layer's key.
constexpr std::uint64_t kInitialValues = std::uint64_t{1} << 63;

Shape as_sizes(const Rcpp::NumericVector &shape) {
  Shape sizes(shape.size());
  std::transform(shape.begin(), shape.end(), sizes.begin(),
                 [](double size) { return static_cast<Index>(size); });
  return sizes;
}

Index size_of(const Shape &shape) {
  Index size = 1;
  for (Index axis : shape)
    size = attentive::checked_product(size, axis);
  return size;
}

std::uint64_t as_key(const Rcpp::NumericVector &key) {
  return static_cast<std::uint64_t>(key[0]) << 32 | static_cast<std::uint64_t>(key[1]);
}

// 0-based axes from an entry of a list, empty where it is NULL.
std::vector<Index> as_axes(SEXP axes) {
  if (Rf_isNull(axes))
    return {};
  std::vector<Index> result;
  for (double axis : Rcpp::as<Rcpp::NumericVector>(axes))
    result.push_back(static_cast<Index>(axis) - 1);
  return result;
}

SEXP entry(const Rcpp::List &list, const char *name) {
  return list.containsElementNamed(name) ? static_cast<SEXP>(list[name]) : R_NilValue;
}

double number(const Rcpp::List &list, const char *name) { return Rcpp::as<double>(list[name]); }
std::string word(const Rcpp::List &list, const char *name) {
  return Rcpp::as<std::string>(list[name]);
}

attentive::VarianceScaling as_variance_scaling(const Rcpp::List &config) {
  attentive::VarianceScaling options;
  options.scale = number(config, "scale");
  const std::string mode = word(config, "mode"), distribution = word(config, "distribution");
  options.mode = mode == "fan_in"    ? attentive::FanMode::in
                 : mode == "fan_out" ? attentive::FanMode::out
                                     : attentive::FanMode::average;
  options.distribution = distribution == "uniform" ? attentive::Distribution::uniform
                         : distribution == "truncated_normal"
                             ? attentive::Distribution::truncated_normal
                             : attentive::Distribution::untruncated_normal;
  return options;
}

attentive::Fans as_fans(const Rcpp::List &config, const Shape &shape) {
  SEXP inputs = entry(config, "input_axes"), outputs = entry(config, "output_axes");
  if (Rf_isNull(inputs) || Rf_isNull(outputs))
    return attentive::fans_of(shape);
  return attentive::fans_of(shape, as_axes(inputs), as_axes(outputs));
}

template <class T>
void fill(const Rcpp::List &config, const Shape &shape, attentive::RandomSource source, T *out,
          const attentive::Execution &execution) {
  const Index size = size_of(shape);
  const std::string kind = word(config, "kind");
  if (kind == "constant") {
    std::fill(out, out + size, static_cast<T>(number(config, "value")));
  } else if (kind == "identity") {
    attentive::fill_identity(number(config, "gain"), shape.at(0), shape.at(1), out);
  } else if (kind == "random_uniform") {
    attentive::fill_uniform(source.key, source.stream, number(config, "minval"),
                            number(config, "maxval"), out, size, execution);
  } else if (kind == "random_normal") {
    attentive::fill_normal(source.key, source.stream, number(config, "mean"),
                           number(config, "stddev"), out, size, execution);
  } else if (kind == "truncated_normal") {
    attentive::fill_truncated_normal(source.key, source.stream, number(config, "mean"),
                                     number(config, "stddev"), out, size, execution);
  } else if (kind == "orthogonal") {
    const Index cols = shape.back();
    attentive::fill_orthogonal(number(config, "gain"), cols == 0 ? 0 : size / cols, cols, source,
                               out, execution);
  } else {
    attentive::fill_variance_scaling(as_variance_scaling(config), as_fans(config, shape), source,
                                     out, size, execution);
  }
}

template <class T> T *numbers_of(SEXP values) {
  void *data = nullptr;
  Rcpp::unwindProtect([&] { // what is shared may be copied for it
    data = TYPEOF(values) == RAWSXP ? static_cast<void *>(RAW(values)) : REAL(values);
    return R_NilValue;
  });
  return static_cast<T *>(data);
}

// Numbers in either of their two forms, with the row-major shape.
struct Numbers {
  SEXP values;
  Shape shape;
  bool float64, reversed;

  Numbers(SEXP numbers, const Rcpp::NumericVector &dim, bool is_double)
      : values(numbers), shape(as_sizes(dim)), float64(is_double),
        reversed(TYPEOF(numbers) != RAWSXP) {
    const Index width = reversed ? 1 : float64 ? 8 : 4;
    if (Rf_xlength(values) != attentive::checked_product(size_of(shape), width))
      Rcpp::stop("the numbers do not have this shape");
    if (reversed)
      std::reverse(shape.begin(), shape.end());
  }
  Index size() const { return size_of(shape); }
  Index axis(Index a) const { return reversed ? static_cast<Index>(shape.size()) - 1 - a : a; }

  // body(pointer) with the type that the numbers have
  template <class Body> auto visit(const Body &body) const {
    return reversed || float64 ? body(numbers_of<double>(values)) : body(numbers_of<float>(values));
  }
};

// A lack of memory unwinds what is alive here, too.
SEXP copy_of(SEXP x) {
  return Rcpp::unwindProtect([=] { return Rf_duplicate(x); });
}

attentive::ElementPenalty as_element_penalty(const Rcpp::List &config) {
  return {number(config, "l1"), number(config, "l2")};
}

attentive::OrthogonalPenalty as_orthogonal_penalty(const Rcpp::List &config, bool reversed) {
  return {number(config, "factor"), Rcpp::as<bool>(config["columns"]) != reversed};
}

} // namespace

// [[Rcpp::export(rng = false)]]
Rcpp::NumericVector random_seed_key(double seed) {
  const std::uint64_t key = attentive::key_of_seed(static_cast<std::int64_t>(seed));
  return Rcpp::NumericVector::create(static_cast<double>(key >> 32),
                                     static_cast<double>(key & 0xFFFFFFFFu));
}

// [[Rcpp::export(rng = false)]]
Rcpp::NumericVector kernel_fans(Rcpp::NumericVector shape, Rcpp::List axes) {
  const attentive::Fans fans = as_fans(axes, as_sizes(shape));
  return Rcpp::NumericVector::create(Rcpp::Named("fan_in") = fans.in,
                                     Rcpp::Named("fan_out") = fans.out);
}

// [[Rcpp::export(rng = false)]]
SEXP fill_initial_values(Rcpp::List config, Rcpp::NumericVector shape, bool float64,
                         Rcpp::NumericVector key, double stream) {
  return attentive::doorway::guarded([&]() -> Rcpp::RObject {
    const Shape sizes = as_sizes(shape);
    const Index bytes = attentive::checked_product(size_of(sizes), float64 ? 8 : 4);
    Rcpp::Shield<SEXP> out(attentive::doorway::new_vector(RAWSXP, bytes));
    const attentive::RandomSource source{as_key(key),
                                         kInitialValues | static_cast<std::uint64_t>(stream)};
    const attentive::Execution execution = attentive::doorway::execution(1);
    if (float64)
      fill(config, sizes, source, reinterpret_cast<double *>(RAW(out)), execution);
    else
      fill(config, sizes, source, reinterpret_cast<float *>(RAW(out)), execution);
    return Rcpp::RObject(out);
  });
}

// [[Rcpp::export(rng = false)]]
double penalty_value(Rcpp::List config, SEXP x, Rcpp::NumericVector shape, bool float64) {
  const Numbers numbers(x, shape, float64);
  const bool orthogonal = Rcpp::as<bool>(config["orthogonal"]);
  return attentive::doorway::guarded([&] {
    return numbers.visit([&](auto *values) {
      if (!orthogonal)
        return attentive::penalty(as_element_penalty(config), values, numbers.size());
      return attentive::penalty(as_orthogonal_penalty(config, numbers.reversed), values,
                                numbers.shape.at(0), numbers.shape.at(1),
                                attentive::doorway::execution(1));
    });
  });
}

// [[Rcpp::export(rng = false)]]
SEXP penalty_gradient(Rcpp::List config, SEXP x, Rcpp::NumericVector shape, bool float64) {
  const Numbers numbers(x, shape, float64);
  Rcpp::Shield<SEXP> gradient(copy_of(x));
  const bool orthogonal = Rcpp::as<bool>(config["orthogonal"]);
  attentive::doorway::guarded([&] {
    numbers.visit([&](auto *values) {
      // the same type as `values`: the one is a copy of the other
      auto *d_values = numbers_of<std::remove_pointer_t<decltype(values)>>(gradient);
      std::fill(d_values, d_values + numbers.size(), 0);
      if (!orthogonal)
        attentive::penalty_backward(as_element_penalty(config), values, numbers.size(), 1,
                                    d_values);
      else
        attentive::penalty_backward(as_orthogonal_penalty(config, numbers.reversed), values,
                                    numbers.shape.at(0), numbers.shape.at(1), 1, d_values,
                                    attentive::doorway::execution(1));
    });
  });
  return gradient;
}

// [[Rcpp::export(rng = false)]]
SEXP constrain_values(Rcpp::List config, SEXP w, Rcpp::NumericVector shape, bool float64) {
  Rcpp::Shield<SEXP> result(copy_of(w));
  const Numbers numbers(result, shape, float64);
  if (Rcpp::as<bool>(config["nonneg"])) {
    numbers.visit([&](auto *values) { attentive::constrain_non_negative(values, numbers.size()); });
    return result;
  }
  std::vector<Index> axes = as_axes(config["axes"]);
  for (Index &axis : axes)
    axis = numbers.axis(axis);
  const attentive::NormConstraint options{number(config, "min"), number(config, "max"),
                                          number(config, "rate")};
  numbers.visit(
      [&](auto *values) { attentive::constrain_norm(options, numbers.shape, axes, values); });
  return result;
}
