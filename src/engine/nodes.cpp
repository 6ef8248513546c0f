#include "nodes.h"

#include <stdexcept>

namespace attentive {

template <class T>
std::unique_ptr<Node<T>> make_node(const std::string &op, NodeLinks links,
                                   const NodeOptions &options) {
  static const std::map<std::string, NodeMaker<T>> makers = {
      {"additive_attention", make_additive_attention_node<T>},
      {"dense", make_dense_node<T>},
      {"dot_attention", make_dot_attention_node<T>},
      {"function", make_function_node<T>},
      {"multi_head_attention", make_multi_head_node<T>},
  };
  const auto found = makers.find(op);
  if (found == makers.end())
    throw std::invalid_argument("there is no node \"" + op + "\"");
  return found->second(std::move(links), options);
}

template std::unique_ptr<Node<float>> make_node<float>(const std::string &, NodeLinks,
                                                       const NodeOptions &);
template std::unique_ptr<Node<double>> make_node<double>(const std::string &, NodeLinks,
                                                         const NodeOptions &);

} // namespace attentive
