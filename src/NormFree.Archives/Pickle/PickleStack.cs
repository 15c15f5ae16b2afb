namespace NormFree.Archives.Pickle;

/// <summary>The machine's stack. A mark hides what lies under it until the mark is used, as in Python.</summary>
internal sealed class PickleStack(PickleCursor cursor)
{
    private readonly List<PickleValue> values = [];
    private readonly List<int> marks = [];

    /// <summary>Whether neither a value nor a mark is left.</summary>
    public bool IsEmpty => values.Count == 0 && marks.Count == 0;

    private int Floor => marks.Count == 0 ? 0 : marks[^1];

    /// <summary>Puts a value on top.</summary>
    public void Push(PickleValue value) => values.Add(value);

    /// <summary>Puts a mark on top.</summary>
    public void Mark() => marks.Add(values.Count);

    /// <summary>The value on top, which stays.</summary>
    public PickleValue Peek()
    {
        if (values.Count <= Floor)
            cursor.Fail("a value is used before there is one", WayOut.FetchAgain);
        return values[^1];
    }

    /// <summary>Takes the value on top.</summary>
    public PickleValue Pop()
    {
        var value = Peek();
        values.RemoveAt(values.Count - 1);
        return value;
    }

    /// <summary>Takes some values from the top, the lowest first.</summary>
    public PickleValue[] Pop(int count)
    {
        if (values.Count - count < Floor)
            cursor.Fail("a value is used before there is one", WayOut.FetchAgain);
        var popped = new PickleValue[count];
        values.CopyTo(values.Count - count, popped, 0, count);
        values.RemoveRange(values.Count - count, count);
        return popped;
    }

    /// <summary>Takes everything above the last mark, and the mark.</summary>
    public PickleValue[] PopToMark()
    {
        if (marks.Count == 0)
            cursor.Fail("a mark is used before there is one", WayOut.FetchAgain);
        var popped = Pop(values.Count - marks[^1]);
        marks.RemoveAt(marks.Count - 1);
        return popped;
    }

    /// <summary>Drops the value or the mark on top.</summary>
    public void Drop()
    {
        if (marks.Count > 0 && values.Count == marks[^1])
            marks.RemoveAt(marks.Count - 1);
        else
            Pop();
    }
}
