package edgewise.wire.secure;

/**
 * What a roster of {@code size} devices needs (Bell et al. 2020, §3), and what a device accepts of it; what the coordinator
 * chooses is in {@code wire/edgewise_wire/secure/graph.py}.
 *
 * @param degree with how many others each shares a mask and its secrets; even, or size − 1
 * @param threshold how many shares make a secret; a device holds one of its own secret, too
 * @param quorum how many must sign the same list of survivors; so many survivors are needed
 */
public record Plan(int size, long degree, long threshold, long quorum) {
    static final double CORRUPT = 0.05; // of the roster may be in league with the coordinator
    private static final int SIGMA = 40; // bits: the graph betrays somebody with a probability of at most 2^-40

    /** Returns why a device must not give its secrets to such a graph, {@code null} if it may. */
    public String unsafe() {
        int bad = (int) (CORRUPT * size);
        if (quorum < (size + bad) / 2 + 1 || quorum > size) {
            return "a quorum of " + quorum + " of " + size + " devices does not keep a coordinator from two lists of survivors";
        }
        long least;
        if (degree == size - 1) least = Math.max(2, Math.max(bad + 1, size / 2 + 1));
        else if (degree >= 2 && degree < size - 1 && degree % 2 == 0) least = leastThreshold(bad);
        else return "a graph of degree " + degree + " over " + size + " devices is none";
        if (threshold < least || threshold > degree + 1) {
            return threshold + " shares of " + (degree + 1) + " open a secret; expected at least " + least;
        }
        return null;
    }

    /** Returns one more than the shares that the edge of a gap of degree/2 places can come to. */
    private long leastThreshold(int bad) {
        int window = (int) degree / 2;
        return window + 1 + mostCorrupt(window, bad) + 1;
    }

    /** Returns how many of the corrupt stand in any {@code window} neighbouring places, but for a probability of 2^-40. */
    private int mostCorrupt(int window, int bad) {
        double[] logs = new double[size + 1]; // of the factorials, base 2
        for (int i = 2; i <= size; i++) logs[i] = logs[i - 1] + Math.log(i) / Math.log(2);
        int most = Math.min(window, bad);
        for (int found = most; found >= 0; found--) {
            if (tail(logs, window, bad, found, most) + Math.log(size) / Math.log(2) > -SIGMA) return found;
        }
        return 0;
    }

    /** Returns log2 of the hypergeometric probability of at least {@code from} corrupt ones in a window. */
    private double tail(double[] logs, int window, int bad, int from, int most) {
        double top = Double.NEGATIVE_INFINITY, sum = 0;
        double[] terms = new double[most + 1];
        for (int hit = from; hit <= most; hit++) {
            boolean possible = window - hit <= size - bad;
            terms[hit] = possible ? choose(logs, bad, hit) + choose(logs, size - bad, window - hit)
                    - choose(logs, size, window) : Double.NEGATIVE_INFINITY;
            top = Math.max(top, terms[hit]);
        }
        if (top == Double.NEGATIVE_INFINITY) return top;
        for (int hit = from; hit <= most; hit++) sum += Math.pow(2, terms[hit] - top);
        return top + Math.log(sum) / Math.log(2);
    }

    private static double choose(double[] logs, int n, int k) {
        return logs[n] - logs[k] - logs[n - k];
    }
}
