namespace NormFree.Archives.Pickle;

/// <summary>The stack of the pickle machine. As in Python, a mark hides the values below it until it is used.</summary>
internal sealed class PickleStack(PickleCursor cursor)
{
    private readonly List<PickleValue> values = [];
    private readonly List<int> marks = [];

    /// <summary>Whether the stack holds no value and no mark.</summary>
    public bool IsEmpty => values.Count == 0 && marks.Count == 0;

    private int Floor => marks.Count == 0 ? 0 : marks[^1];

    /// <summary>Pushes a value.</summary>
    public void Push(PickleValue value) => values.Add(value);

    /// <summary>Pushes a mark.</summary>
    public void Mark() => marks.Add(values.Count);

    /// <summary>Returns the top value and leaves it on the stack.</summary>
    public PickleValue Peek()
    {
        if (values.Count <= Floor)
            cursor.Fail("the stack has too few values", Remedy.DownloadAgain);
        return values[^1];
    }

    /// <summary>Pops the top value.</summary>
    public PickleValue Pop()
    {
        var value = Peek();
        values.RemoveAt(values.Count - 1);
        return value;
    }

    /// <summary>Pops several values, lowest first.</summary>
    public PickleValue[] Pop(int count)
    {
        if (values.Count - count < Floor)
            cursor.Fail("the stack has too few values", Remedy.DownloadAgain);
        var popped = new PickleValue[count];
        values.CopyTo(values.Count - count, popped, 0, count);
        values.RemoveRange(values.Count - count, count);
        return popped;
    }

    /// <summary>Pops the last mark and all values above it.</summary>
    public PickleValue[] PopToMark()
    {
        if (marks.Count == 0)
            cursor.Fail("the stack has no mark", Remedy.DownloadAgain);
        var popped = Pop(values.Count - marks[^1]);
        marks.RemoveAt(marks.Count - 1);
        return popped;
    }

    /// <summary>Drops the top value or mark.</summary>
    public void Drop()
    {
        if (marks.Count > 0 && values.Count == marks[^1])
            marks.RemoveAt(marks.Count - 1);
        else
            Pop();
    }
}
