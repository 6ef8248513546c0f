// The engine's settings: instruction set and threads.
#include "r_program.h"

#include "engine/cpu.h"

// [[Rcpp::export(rng = false)]]
Rcpp::List engine_settings() {
  Rcpp::CharacterVector available;
  for (attentive::Level level : attentive::available_levels())
    available.push_back(attentive::level_name(level));
  return Rcpp::List::create(
      Rcpp::Named("instructions") = attentive::level_name(attentive::active_level()),
      Rcpp::Named("available") = available, Rcpp::Named("threads_used") = attentive::threads_used());
}

// FALSE where the instruction set is unknown or cannot run here.
// [[Rcpp::export(rng = false)]]
bool engine_set_instructions(std::string name) {
  try {
    attentive::set_level(name);
    return true;
  } catch (const std::invalid_argument &) {
    return false;
  }
}

// Before the library is unloaded; TRUE where it may be.
// [[Rcpp::export(rng = false)]]
bool engine_close() {
  attentive::shutdown_threads();
  attentive::release_kept_memory();
  return attentive::doorway::pointers_alive() == 0;
}
