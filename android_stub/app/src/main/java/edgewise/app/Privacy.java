package edgewise.app;

/** The privacy page; {@code android_stub/PRIVACY.md} has the same words for an app's own users. */
final class Privacy {
    static final String TEXT =
            "What you type stays on this phone. It is kept in a file that only this app can read, is part of no backup, "
            + "and is never sent to anyone.\n\n"
            + "While the phone charges, lies unused and has Wi-Fi, it may learn: it takes the word model that all phones of "
            + "the fleet share, trains it a little on your sentences, and sends back how the model's numbers changed. "
            + "Those numbers are averaged with those of other phones. The list of words that the model knows is public; no "
            + "word of yours is added to it.\n\n"
            + "An update is not your text, but it was made from it, and says something about it. Whoever runs the fleet "
            + "says which protections it has: clipping and noise, or sums that hide single updates. You can ask this phone "
            + "to take part only with them.\n\n"
            + "Passwords, addresses, and fields where an app asks keyboards not to learn are never kept.\n\n"
            + "You can see what is kept and what was sent, pause, forget everything, or leave, at any time. What was sent "
            + "earlier is part of a sum with others and cannot be taken back.";

    private Privacy() {}
}
