package edgewise.wire.transforms;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;

/** Numbers as C's and Python's {@code %g} write them, and sums that no order of addition changes. */
public final class Numbers {
    private Numbers() {}

    /** Returns a number with at most six significant digits, as {@code %g} does. */
    public static String general(double value) {
        if (value == 0) return "0";
        BigDecimal rounded = new BigDecimal(value).round(new MathContext(6, RoundingMode.HALF_EVEN)).stripTrailingZeros();
        int exponent = rounded.precision() - rounded.scale() - 1;
        if (exponent >= -4 && exponent < 6) return rounded.toPlainString();
        String digits = rounded.unscaledValue().abs().toString();
        String text = digits.length() > 1 ? digits.charAt(0) + "." + digits.substring(1) : digits;
        String sign = value < 0 ? "-" : "";
        return sign + text + "e" + (exponent < 0 ? "-" : "+") + (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
    }

    /** Returns the exact sum of finite numbers, rounded once, as Python's {@code math.fsum} (Shewchuk 1997, §2). */
    public static double exactSum(double[] values) {
        BigDecimal sum = BigDecimal.ZERO; // exact: every finite double is a decimal
        for (double value : values) sum = sum.add(new BigDecimal(value));
        return sum.doubleValue();
    }
}
