# Where the boxes of a drawn graph go. Layered, after Sugiyama: boxes get ranks by their longest path,
# long edges a bend in each rank they pass, ranks an order with few crossings, vertices places
# that keep edges straight.
#
# `across` runs along a rank, `along` in the direction of the edges. A layout is a list of
#   boxes   data frame with a row a box: rank, across, along (the middle), width (across), height (along)
#   edges   list of list(from, to, path); `path` is a matrix of the columns across and along
#   size    c(across, along): everything lies between 0 and that
#
# `sizes` is a matrix with a row c(width, height) a box, `edges` one of the columns from and to. Boxes
# come in an order in which they can run: from < to. `line` is the height of a line of text.
lay_out <- function(sizes, edges, line) {
  n <- nrow(sizes)
  edges <- unique(edges)
  rank <- rank_boxes(n, edges, sizes[, 2L] > 0)
  graph <- bend_edges(rank, edges)
  ranks <- split(seq_along(graph$rank), factor(graph$rank, seq_len(max(graph$rank))))
  graph$order <- order_ranks(ranks, graph)
  graph$half <- c(sizes[, 1L], rep(0.4 * line, length(graph$rank) - n)) / 2
  across <- place_across(graph, n, 1.6 * line)
  across <- across - min(across - graph$half)

  heights <- vapply(ranks, function(members) max(0, sizes[members[members <= n], 2L]), 0)
  shift <- vapply(seq_along(ranks), function(r) {
    between <- graph$segments[graph$rank[graph$segments[, 1L]] == r, , drop = FALSE]
    max(0, abs(across[between[, 1L]] - across[between[, 2L]]))
  }, 0)
  gaps <- pmin(3.2 * line, 1.9 * line + 0.12 * shift)
  begin <- cumsum(c(0, heights + gaps))[seq_along(ranks)]
  boxes <- data.frame(
    rank = rank, across = across[seq_len(n)], along = (begin + heights / 2)[rank], width = sizes[, 1L], height = sizes[, 2L]
  )
  routes <- route_edges(graph, boxes, across, begin, begin + heights, line)
  last <- length(ranks)
  list(boxes = boxes, edges = routes, size = c(max(across + graph$half), begin[[last]] + heights[[last]]))
}

# The rank of a box is the length of the longest path that leads to it. A box that `may_wait` then moves to just
# before the first one that needs it, where that lengthens no more edges than it shortens.
rank_boxes <- function(n, edges, may_wait = rep(TRUE, n)) {
  rank <- rep(1L, n)
  edges <- edges[order(edges[, 1L]), , drop = FALSE]
  for (i in seq_len(nrow(edges))) rank[edges[i, 2L]] <- max(rank[edges[i, 2L]], rank[edges[i, 1L]] + 1L)
  for (box in rev(which(may_wait))) {
    needed_by <- edges[edges[, 1L] == box, 2L]
    if (length(needed_by) > 0L && sum(edges[, 2L] == box) <= length(needed_by)) rank[box] <- min(rank[needed_by]) - 1L
  }
  rank
}

# Edges as segments between neighbouring ranks. Those that leave one box share their bends, as
# a trunk with branches. `paths` holds the vertices of each edge, `trunks` the bends of each box.
bend_edges <- function(rank, edges) {
  trunks <- vector("list", length(rank))
  paths <- vector("list", nrow(edges))
  vertex_rank <- rank
  for (i in order(edges[, 1L], rank[edges[, 2L]])) {
    from <- edges[i, 1L]
    needed <- rank[edges[i, 2L]] - rank[from] - 1L
    while (length(trunks[[from]]) < needed) {
      vertex_rank <- c(vertex_rank, rank[from] + length(trunks[[from]]) + 1L)
      trunks[[from]] <- c(trunks[[from]], length(vertex_rank))
    }
    paths[[i]] <- unname(c(from, trunks[[from]][seq_len(needed)], edges[i, 2L]))
  }
  segments <- do.call(rbind, c(list(matrix(0L, 0L, 2L)), lapply(paths, function(path) cbind(path[-length(path)], path[-1L]))))
  list(rank = vertex_rank, segments = unique(segments), paths = paths, trunks = Filter(length, trunks))
}

# Orders with few crossings ----------------------------------------------------------

# The place of each vertex in its rank: sweeps that put a vertex at the mean of its neighbours, the best kept.
order_ranks <- function(ranks, graph, sweeps = 8L) {
  place <- integer(length(graph$rank))
  for (members in ranks) place[members] <- seq_along(members)
  best <- place
  fewest <- count_crossings(graph, place)
  neighbours <- neighbours_of(graph)
  for (sweep in seq_len(sweeps)) {
    if (fewest == 0L) break
    down <- sweep %% 2L == 1L
    for (members in if (down) ranks else rev(ranks)) {
      wish <- vapply(members, function(v) {
        near <- if (down) neighbours$above[[v]] else neighbours$below[[v]]
        if (length(near) == 0L) as.double(place[[v]]) else mean(place[near])
      }, 0)
      place[members[order(wish, place[members])]] <- seq_along(members)
    }
    crossings <- count_crossings(graph, place)
    if (crossings < fewest) {
      best <- place
      fewest <- crossings
    }
  }
  best
}

neighbours_of <- function(graph) {
  vertices <- factor(seq_along(graph$rank))
  list(
    above = split(graph$segments[, 1L], vertices[graph$segments[, 2L]]), below = split(graph$segments[, 2L], vertices[graph$segments[, 1L]])
  )
}

count_crossings <- function(graph, place) {
  from <- place[graph$segments[, 1L]]
  to <- place[graph$segments[, 2L]]
  same <- split(seq_along(from), graph$rank[graph$segments[, 1L]])
  sum(0L, vapply(same, function(i) sum(outer(from[i], from[i], "<") & outer(to[i], to[i], ">")), 0L))
}

# Places ------------------------------------------------------------------------------

# Boxes stand under each other first, bends go where there is room: a column of
# boxes stays straight, and what skips some of them runs beside it.
place_across <- function(graph, n, gap) {
  count <- length(graph$rank)
  is_box <- seq_len(count) <= n
  ranks <- unname(lapply(split(seq_len(count), graph$rank), function(members) members[order(graph$order[members])]))
  apart <- function(members) {
    left <- members[-length(members)]
    right <- members[-1L]
    graph$half[left] + graph$half[right] + gap * ifelse(is_box[left] & is_box[right], 1, 0.6)
  }
  space <- lapply(ranks, apart)
  across <- numeric(count)
  for (r in seq_along(ranks)) {
    at <- cumsum(c(0, space[[r]]))
    across[ranks[[r]]] <- at - mean(range(at))
  }
  neighbours <- neighbours_of(graph)
  strength <- ifelse(is_box, 1, 1e-4)
  wish <- function(v, near) {
    if (length(near) == 0L) return(across[[v]])
    weighted_median(across[near], if (is_box[[v]]) ifelse(is_box[near], 4, 1) else ifelse(is_box[near], 1, 4))
  }
  for (sweep in 1:60) {
    before <- across
    for (r in if (sweep %% 2L == 1L) seq_along(ranks) else rev(seq_along(ranks))) {
      members <- ranks[[r]]
      wishes <- vapply(members, function(v) {
        above <- neighbours$above[[v]]
        below <- neighbours$below[[v]]
        # one direction at a time at first, then both
        near <- if (sweep > 6L) c(above, below) else if (sweep %% 2L == 1L) above else below
        wish(v, near)
      }, 0)
      across[members] <- keep_apart(wishes, space[[r]], strength[members])
    }
    if (sweep > 8L && max(abs(across - before)) < gap / 1000) break
  }
  straighten(across, graph$trunks, ranks, space, graph$rank)
}

weighted_median <- function(x, weight) {
  order <- order(x)
  share <- cumsum(weight[order]) / sum(weight)
  (x[order][which(share >= 0.5 - 1e-9)[[1L]]] + x[order][which(share > 0.5 + 1e-9)[[1L]]]) / 2
}

# The places nearest to `wishes` (least squares) in this order and that far apart:
# after the distances are taken off, the best increasing sequence.
keep_apart <- function(wishes, space, weight) {
  offset <- cumsum(c(0, space))
  value <- size <- total <- numeric()
  for (i in seq_along(wishes)) {
    value <- c(value, wishes[[i]] - offset[[i]])
    size <- c(size, 1)
    total <- c(total, weight[[i]])
    while ((k <- length(value)) > 1L && value[[k - 1L]] > value[[k]]) {
      merged <- sum(value[k - 1:0] * total[k - 1:0]) / sum(total[k - 1:0])
      value <- c(value[seq_len(k - 2L)], merged)
      size <- c(size[seq_len(k - 2L)], sum(size[k - 1:0]))
      total <- c(total[seq_len(k - 2L)], sum(total[k - 1:0]))
    }
  }
  rep(value, size) + offset
}

# Lets the bends of a trunk stand on one line, where their neighbours leave room for it.
straighten <- function(across, trunks, ranks, space, rank) {
  for (round in 1:4) {
    for (trunk in trunks) {
      room <- vapply(trunk, function(v) {
        members <- ranks[[rank[[v]]]]
        at <- match(v, members)
        between <- space[[rank[[v]]]]
        c(
          if (at == 1L) -Inf else across[[members[[at - 1L]]]] + between[[at - 1L]],
          if (at == length(members)) Inf else across[[members[[at + 1L]]]] - between[[at]]
        )
      }, numeric(2L))
      low <- max(room[1L, ])
      high <- min(room[2L, ])
      if (low <= high) across[trunk] <- min(max(stats::median(across[trunk]), low), high)
    }
  }
  across
}

# Routes ------------------------------------------------------------------------------

# An edge bends between the ranks only and passes a rank straight, where nothing else stands.
route_edges <- function(graph, boxes, across, begin, end, line) {
  ends <- edge_ends(graph, boxes, across, line)
  lapply(seq_along(graph$paths), function(i) {
    path <- graph$paths[[i]]
    last <- length(path)
    from <- path[[1L]]
    to <- path[[last]]
    points <- cbind(across[[from]], c(boxes$along[[from]] + boxes$height[[from]] / 2, end[[boxes$rank[[from]]]]))
    for (k in seq_len(last)[-1L]) {
      rank <- graph$rank[[path[[k]]]]
      x <- if (k == last) ends[[i]] else across[[path[[k]]]]
      bend <- bend_between(points[nrow(points), ], c(x, begin[[rank]]))
      y <- if (k == last) boxes$along[[to]] - boxes$height[[to]] / 2 else end[[rank]]
      points <- rbind(points, bend, c(x, y))
    }
    dimnames(points) <- list(NULL, c("across", "along"))
    list(from = from, to = to, path = points)
  })
}

# A curve that leaves and arrives in the direction of the edges.
bend_between <- function(from, to, steps = 16L) {
  if (abs(from[[1L]] - to[[1L]]) < 1e-9) return(rbind(to, deparse.level = 0L))
  t <- seq_len(steps) / steps
  cbind(from[[1L]] + (to[[1L]] - from[[1L]]) * t^2 * (3 - 2 * t), from[[2L]] + (to[[2L]] - from[[2L]]) * (1.5 * t * (1 - t) + t^3))
}

# Where edges arrive: the one from straight above in the middle, others beside it in the order they come from.
edge_ends <- function(graph, boxes, across, line) {
  to <- vapply(graph$paths, function(path) path[[length(path)]], 0)
  before <- vapply(graph$paths, function(path) across[[path[[length(path) - 1L]]]], 0)
  ends <- across[to]
  for (box in unique(to)) {
    into <- which(to == box)
    if (length(into) < 2L) next
    into <- into[order(before[into])]
    away <- before[into] - across[[box]]
    middle <- which.min(abs(away))
    place <- seq_along(into) - if (abs(away[[middle]]) < line / 2) middle else (length(into) + 1) / 2
    ends[into] <- across[[box]] + place * min(line, 0.8 * boxes$width[[box]] / (2 * max(abs(place)) + 1))
  }
  ends
}
