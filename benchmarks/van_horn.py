"""The crowd model of Van Horn and Branson for boxes, written anew to be compared with.

Raters have a chance to invent, a chance to miss and a spread; objects have a spread; a true box
is one of the drawn boxes, and which ones are is a problem of facility location: opening one
costs a miss of every rater, and each box joins an opened one (at most one box of a rater) or is
an invention. Greedy location and the estimates of raters and objects take turns. It follows the
paper, and where that is silent (distances, priors, the order of steps) the published program, which
is for Python 2.

References
----------
S. Branson, G. Van Horn, P. Perona, "Lean crowdsourcing: combining humans and machines in an
online system", CVPR 2017, section 4.3. doi:10.1109/CVPR.2017.647
K. Jain, M. Mahdian, A. Saberi, "A new greedy approach for facility location problems", STOC
2002. doi:10.1145/509907.510012
"""

import numpy as np

SIGMA, SIGMA_BOXES, IMAGE_BOXES = 0.25, 5, 1
FALSE, MISS, RATE_BOXES = 0.1, 0.1, 5
ROUNDS = 10


def van_horn(images, raters, *, refine):
    """Fused boxes and number of boxes of each, for every image.

    `images` holds (boxes (n, 4), rater of each (n,), raters who read it) with numbers below
    `raters`. With `refine`, a fused box is the weighted mean of its boxes, not one of them.
    """
    crowd = [Image(*image) for image in images]
    for image in crowd:
        image.join(simple=True)
    prior = priors(crowd)
    false, miss = np.full(raters, prior[0]), np.full(raters, prior[1])
    sigma = np.full(raters, prior[2])
    for image in crowd:
        image.sigma = np.full(len(image.boxes), prior[2])
    for _ in range(ROUNDS):
        for image in crowd:
            image.join(false=false, miss=miss)
            image.measure(prior[2])
        false, miss, sigma = rates(crowd, raters, prior)
        for image in crowd:
            image.mix(sigma)
    return [image.fused(refine=refine) for image in crowd]


class Image:
    def __init__(self, boxes, rater, readers):
        self.boxes, self.rater, self.readers = boxes, rater, readers
        self.distance = distances(boxes) ** 2
        self.weight = np.full(len(boxes), 0.5)

    def join(self, *, simple=False, false=None, miss=None):
        """Open boxes and join every box to one of them, or to none (-1)."""
        n, who = len(self.boxes), self.rater
        if simple:
            cost = np.where(self.distance < 0.25, 0.0, np.inf)
            none, opening = np.ones(n), 0.5 * len(self.readers)
        else:
            normal = -0.5 * (self.distance / self.sigma) ** 2 - np.log(self.sigma)
            normal -= 0.5 * np.log(2 * np.pi)
            cost = -(normal + np.log(1 - false[who]) + np.log(1 - miss[who]) - np.log(miss[who]))
            cost[self.distance >= 1] = np.inf
            none, opening = -np.log(false[who]), -np.log(miss[self.readers]).sum()
        self.of = locate(cost, none, opening, rater=who)
        self.joined = self.of >= 0
        size = np.bincount(self.of[self.joined], minlength=n)
        self.away = np.where(self.joined, self.distance[self.of, np.arange(n)], np.nan)
        self.size = size[self.of]

    def measure(self, prior):
        """Spread of each object, from boxes that are not the rater's fault."""
        n, of = len(self.boxes), self.of[self.joined]
        part = 1 - self.weight[self.joined]
        error = self.away[self.joined] + prior**2 / self.size[self.joined]
        top = np.bincount(of, part * error, n) + IMAGE_BOXES * prior**2
        self.spread = np.sqrt(top / (np.bincount(of, part, n) + IMAGE_BOXES))

    def mix(self, sigma):
        """Spread of each box: between its rater's and its object's, as they explain it."""
        own = sigma[self.rater]
        self.weight, self.sigma = np.ones(len(own)), own.copy()
        at = self.joined
        both = np.stack([own[at], self.spread[self.of[at]]])
        rater, thing = np.exp(-0.5 * self.away[at] / both**2) / both
        self.weight[at] = rater / (rater + thing)
        share = np.stack([self.weight[at], 1 - self.weight[at]])
        self.sigma[at] = np.sqrt((share * both**2).sum(axis=0))

    def fused(self, *, refine):
        found = np.unique(self.of[self.joined])
        size = np.array([(self.of == k).sum() for k in found], dtype=int)
        if not refine:
            return self.boxes[found], size
        means = [
            np.average(self.boxes[self.of == k], axis=0, weights=self.sigma[self.of == k] ** -2.0)
            for k in found
        ]
        return np.array(means).reshape(-1, 4), size


def distances(boxes):
    """1 - overlap over the area of the hull of both boxes, as in the published program."""
    hull = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:])
    hull = hull - np.minimum(boxes[:, None, :2], boxes[None, :, :2])
    shared = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = shared - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    return 1 - np.prod(np.clip(shared, 0, None), axis=2) / np.prod(hull, axis=2)


def locate(cost, none, opening, *, rater):
    """Greedy facility location: always the opening that is cheapest per box it joins."""
    n = len(none)
    of, now = np.full(n, -2), np.full(n, 1e12)
    opened, same = np.zeros(n, bool), rater[:, None] == rater[None, :]
    while (of == -2).any():
        free = of == -2
        best = (
            np.where(free, none, np.inf).min(),
            -1,
            [int(np.where(free, none, np.inf).argmin())],
        )
        for place in range(n):
            taken = same[of == place].any(axis=0) if opened[place] else np.zeros(n, bool)
            star = first_of_each(np.where(free & ~taken, cost[place], np.inf), rater)
            if not star:
                continue
            if opened[place]:
                rate, star = cost[place, star[0]], star[:1]
            else:
                saved = (now - cost[place])[~free & (cost[place] < now)].sum()
                total = opening - saved + np.cumsum(cost[place, star])
                rates = total / np.arange(1, len(star) + 1)
                rate, star = rates.min(), star[: int(rates.argmin()) + 1]
            if rate < best[0]:
                best = (rate, place, star)
        _, place, star = best
        if place >= 0 and not opened[place]:
            opened[place] = True
            gain = np.where((of != -2) & (cost[place] < now), cost[place] - now, np.inf)
            gain[same[star].any(axis=0)] = np.inf
            star = star + first_of_each(gain, rater)
        of[star] = place
        now[star] = none[star] if place < 0 else cost[place, star]
    return of


def first_of_each(cost, rater):
    """The cheapest box of each rater, cheapest first; none where it is infinite."""
    order = np.argsort(cost, kind="stable")
    order = order[np.isfinite(cost[order])]
    _, first = np.unique(rater[order], return_index=True)
    return order[np.sort(first)].tolist()


def priors(crowd):
    """Chance to invent, chance to miss and spread of everybody, from the first objects."""
    top, total = np.array([FALSE, MISS]) * RATE_BOXES, np.array([RATE_BOXES, RATE_BOXES], float)
    square, boxes = SIGMA_BOXES * SIGMA**2, SIGMA_BOXES
    for image in crowd:
        right = image.joined & (image.away <= 0.25)
        things = len(np.unique(image.of[image.joined]))
        wanted = things * len(image.readers)
        top += [np.sum(~right), wanted - right.sum()]
        total += [len(right), wanted]
        square += image.away[image.joined].sum()
        boxes += image.joined.sum()
    return *(top / total), np.sqrt(square / boxes)


def rates(crowd, raters, prior):
    """Chance to invent, chance to miss and spread of each rater, shrunk towards everybody's."""
    false, drawn = np.full(raters, prior[0] * RATE_BOXES), np.full(raters, float(RATE_BOXES))
    miss, wanted = np.full(raters, prior[1] * RATE_BOXES), np.full(raters, float(RATE_BOXES))
    square = np.full(raters, SIGMA_BOXES * prior[2] ** 2)
    boxes = np.full(raters, float(SIGMA_BOXES))
    for image in crowd:
        known = (len(image.readers) - 1) / len(image.readers)
        things = len(np.unique(image.of[image.joined]))
        found = np.bincount(image.rater, image.joined, raters)[image.readers]
        false += known * np.bincount(image.rater, ~image.joined, raters)
        drawn += known * np.bincount(image.rater, minlength=raters)
        miss[image.readers] += known * (things - found)
        wanted[image.readers] += known * things
        error = np.where(image.joined, image.away + prior[2] ** 2 / np.maximum(image.size, 1), 0)
        square += np.bincount(image.rater, error, raters)
        boxes += np.bincount(image.rater, image.joined, raters)
    return (
        np.clip(false / drawn, 1e-8, 1 - 1e-8),
        np.clip(miss / wanted, 1e-8, 1 - 1e-8),
        np.sqrt(square / boxes),
    )
