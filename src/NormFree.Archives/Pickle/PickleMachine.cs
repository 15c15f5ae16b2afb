using System.Numerics;

namespace NormFree.Archives.Pickle;

/// <summary>Python's pickle machine with its hands tied: a stack, marks and a memo; imports and calls become data.</summary>
/// <remarks>Every opcode takes at least one byte and allocates less than two hundred, so memory stays within a multiple of the file.</remarks>
internal sealed class PickleMachine(PickleCursor cursor, PickleLimits limits, PickleGlobals allowed)
{
    private const int NewestProtocol = 5;
    private readonly PickleStack stack = new(cursor);
    private readonly Dictionary<long, PickleValue> memo = [];

    /// <summary>Runs up to the pickle's end and returns what it leaves.</summary>
    public PickleValue Run()
    {
        while (true)
        {
            var opcode = cursor.Opcode();
            if (opcode == PickleOpcode.Stop)
                break;
            Step(opcode);
        }
        var result = stack.Pop();
        if (!stack.IsEmpty)
            cursor.Fail("values are left over at the pickle's end", WayOut.FetchAgain);
        return result;
    }

    private void Step(PickleOpcode opcode)
    {
        switch (opcode)
        {
            case PickleOpcode.Proto: Protocol(cursor.Byte()); break;
            case PickleOpcode.Frame: Frame(cursor.UInt64()); break;

            case PickleOpcode.None: stack.Push(PickleNone.Instance); break;
            case PickleOpcode.NewTrue: stack.Push(PickleBool.True); break;
            case PickleOpcode.NewFalse: stack.Push(PickleBool.False); break;
            case PickleOpcode.BinInt: stack.Push(PickleInt.Of(cursor.Int32())); break;
            case PickleOpcode.BinInt1: stack.Push(PickleInt.Of(cursor.Byte())); break;
            case PickleOpcode.BinInt2: stack.Push(PickleInt.Of(cursor.UInt16())); break;
            case PickleOpcode.Long1: stack.Push(Long(cursor.Byte())); break;
            case PickleOpcode.Long4: stack.Push(Long(cursor.Int32())); break;
            case PickleOpcode.Int: stack.Push(DecimalOrBool(cursor.Line())); break;
            case PickleOpcode.Long: stack.Push(PickleInt.Of(Decimal(cursor.Line()))); break;
            case PickleOpcode.BinFloat: stack.Push(new PickleFloat(cursor.Double())); break;
            case PickleOpcode.Float: stack.Push(new PickleFloat(PickleText0.Real(cursor.Line()) ?? Bad<double>("a number"))); break;

            case PickleOpcode.BinUnicode: stack.Push(Utf8(cursor.UInt32())); break;
            case PickleOpcode.ShortBinUnicode: stack.Push(Utf8(cursor.Byte())); break;
            case PickleOpcode.BinUnicode8: stack.Push(Utf8(cursor.UInt64())); break;
            case PickleOpcode.Unicode: stack.Push(new PickleText(PickleText0.Escaped(cursor.Line()) ?? Bad<string>("a text"))); break;
            case PickleOpcode.BinString: stack.Push(new PickleBytes(cursor.Take(cursor.Int32()))); break;
            case PickleOpcode.BinBytes: stack.Push(new PickleBytes(cursor.Take(cursor.UInt32()))); break;
            case PickleOpcode.ShortBinString or PickleOpcode.ShortBinBytes: stack.Push(new PickleBytes(cursor.Take(cursor.Byte()))); break;
            case PickleOpcode.BinBytes8 or PickleOpcode.ByteArray8: stack.Push(new PickleBytes(cursor.Take(cursor.UInt64()))); break;
            case PickleOpcode.String: stack.Push(new PickleBytes(PickleText0.Quoted(cursor.Line()) ?? Bad<byte[]>("a byte string"))); break;

            case PickleOpcode.EmptyList: stack.Push(new PickleList()); break;
            case PickleOpcode.EmptyDict: stack.Push(new PickleDict()); break;
            case PickleOpcode.EmptyTuple: stack.Push(PickleTuple.Empty); break;
            case PickleOpcode.Tuple1: stack.Push(new PickleTuple(stack.Pop(1))); break;
            case PickleOpcode.Tuple2: stack.Push(new PickleTuple(stack.Pop(2))); break;
            case PickleOpcode.Tuple3: stack.Push(new PickleTuple(stack.Pop(3))); break;
            case PickleOpcode.Tuple: stack.Push(new PickleTuple(stack.PopToMark())); break;
            case PickleOpcode.List: PushFilled(new PickleList(), stack.PopToMark()); break;
            case PickleOpcode.Dict: PushFilled(new PickleDict(), stack.PopToMark()); break;
            case PickleOpcode.Append: Append(stack.Pop(1)); break;
            case PickleOpcode.Appends: Append(stack.PopToMark()); break;
            case PickleOpcode.SetItem: SetItems(stack.Pop(2)); break;
            case PickleOpcode.SetItems: SetItems(stack.PopToMark()); break;

            case PickleOpcode.Mark: stack.Mark(); break;
            case PickleOpcode.Pop: stack.Drop(); break;
            case PickleOpcode.PopMark: stack.PopToMark(); break;
            case PickleOpcode.Dup: stack.Push(stack.Peek()); break;
            case PickleOpcode.Get: stack.Push(Recall(MemoKey(cursor.Line()))); break;
            case PickleOpcode.BinGet: stack.Push(Recall(cursor.Byte())); break;
            case PickleOpcode.LongBinGet: stack.Push(Recall(cursor.UInt32())); break;
            case PickleOpcode.Put: Remember(MemoKey(cursor.Line())); break;
            case PickleOpcode.BinPut: Remember(cursor.Byte()); break;
            case PickleOpcode.LongBinPut: Remember(cursor.UInt32()); break;
            case PickleOpcode.Memoize: Remember(memo.Count); break;

            case PickleOpcode.Global: stack.Push(Global(Utf8Line(), Utf8Line())); break;
            case PickleOpcode.StackGlobal: StackGlobal(); break;
            case PickleOpcode.Reduce or PickleOpcode.NewObj: Reduce(); break;
            case PickleOpcode.Build: Build(); break;
            case PickleOpcode.PersId: stack.Push(new PicklePersistentId(new PickleText(Utf8Line()))); break;
            case PickleOpcode.BinPersId: stack.Push(new PicklePersistentId(stack.Pop())); break;

            default:
                cursor.Fail($"opcode 0x{(byte)opcode:x2} has no place in a file of plain data", "Write the data again with plain lists, dictionaries and arrays");
                break;
        }
    }

    private void Protocol(int version)
    {
        if (version > NewestProtocol)
            cursor.Fail($"pickle protocol {version} is not known, the newest here is {NewestProtocol}", "Write the file again with protocol=4");
    }

    private void Frame(long length)
    {
        if (length > cursor.Left)
            cursor.Fail($"a frame of {length} bytes is announced and {cursor.Left} are left", WayOut.FetchAgain);
    }

    private PickleInt Long(int length)
    {
        if (length is < 0 or > PickleText0.MaxNumberBytes)
            cursor.Fail($"a number of {length} bytes", WayOut.FetchAgain);
        return PickleInt.Of(new BigInteger(cursor.Take(length).Span));
    }

    /// <summary>Before protocol 2 a truth value was an integer with a leading zero.</summary>
    private PickleValue DecimalOrBool(ReadOnlySpan<byte> line) =>
        line.SequenceEqual("01"u8) ? PickleBool.True
        : line.SequenceEqual("00"u8) ? PickleBool.False
        : PickleInt.Of(Decimal(line));

    private BigInteger Decimal(ReadOnlySpan<byte> line) => PickleText0.Integer(line) ?? Bad<BigInteger>("a whole number");

    private long MemoKey(ReadOnlySpan<byte> line)
    {
        var key = Decimal(line);
        return key >= 0 && key <= uint.MaxValue ? (long)key : Bad<long>("a memo's number");
    }

    private PickleText Utf8(long length) => new(PickleText0.Unicode(cursor.Take(length).Span) ?? Bad<string>("UTF-8"));

    private string Utf8Line() => PickleText0.Unicode(cursor.Line()) ?? Bad<string>("UTF-8");

    private T Bad<T>(string expected)
    {
        cursor.Fail($"this is not {expected}", WayOut.FetchAgain);
        return default;
    }

    private void PushFilled(PickleList list, PickleValue[] items)
    {
        stack.Push(list);
        Append(items);
    }

    private void PushFilled(PickleDict dict, PickleValue[] items)
    {
        stack.Push(dict);
        SetItems(items);
    }

    private void Append(PickleValue[] items)
    {
        Action<PickleValue> add = stack.Peek() switch
        {
            PickleList list => list.Add,
            PickleReduced reduced => reduced.Add,
            _ => Bad<Action<PickleValue>>("a list"),
        };
        foreach (var item in items)
            add(item);
    }

    private void SetItems(PickleValue[] items)
    {
        if (items.Length % 2 != 0)
            cursor.Fail("a dictionary's key has no value", WayOut.FetchAgain);
        Action<PickleValue, PickleValue> add = stack.Peek() switch
        {
            PickleDict dict => dict.Add,
            PickleReduced reduced => reduced.Add,
            _ => Bad<Action<PickleValue, PickleValue>>("a dictionary"),
        };
        for (int i = 0; i < items.Length; i += 2)
            add(items[i], items[i + 1]);
    }

    private PickleValue Recall(long key)
    {
        if (!memo.TryGetValue(key, out var value))
            cursor.Fail($"memo {key} is used before it is set", WayOut.FetchAgain);
        return value;
    }

    private void Remember(long key)
    {
        memo[key] = stack.Peek();
        if (memo.Count > limits.MaxMemo)
            cursor.Fail($"more than {limits.MaxMemo} values are remembered", "Raise PickleLimits.MaxMemo if the file is meant to be so large");
    }

    private PickleGlobal Global(string module, string name)
    {
        if (!allowed.Allows(module, name))
            cursor.Fail(
                $"the file asks for {Quoted.Name(module)}.{Quoted.Name(name)}, which is not among the names that may occur in it",
                "Nothing was imported or run. If you trust where the file comes from, write its data again without that class");
        return new PickleGlobal(module, name);
    }

    private void StackGlobal()
    {
        var names = stack.Pop(2);
        stack.Push(names is [PickleText module, PickleText name]
            ? Global(module.Value, name.Value)
            : Bad<PickleGlobal>("a module and a name"));
    }

    private void Reduce()
    {
        var call = stack.Pop(2);
        stack.Push(call is [PickleGlobal callable, PickleTuple arguments]
            ? new PickleReduced(callable, arguments)
            : Bad<PickleReduced>("a name and its arguments"));
    }

    private void Build()
    {
        var state = stack.Pop();
        if (stack.Peek() is not PickleReduced { State: null } target)
            cursor.Fail("a state is set in something that takes none", WayOut.FetchAgain);
        else
            target.State = state;
    }
}
