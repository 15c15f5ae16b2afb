using System.Numerics;
using System.Text;

namespace NormFree.Archives.Pickle;

/// <summary>Interprets the opcodes of a pickle with a stack, marks and a memo. Imports and calls become data.</summary>
/// <remarks>Each opcode takes at least one byte of the file and allocates less than 200, so memory is bounded by a multiple of the file.</remarks>
internal sealed partial class PickleMachine(PickleCursor cursor, PickleLimits limits, PickleGlobals allowed)
{
    private const int NewestProtocol = 5;
    private readonly PickleStack stack = new(cursor);
    private readonly Dictionary<long, PickleValue> memo = [];

    /// <summary>Interprets the pickle up to its end and returns its value.</summary>
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
            cursor.Fail("values remain on the stack at the end of the pickle", Remedy.DownloadAgain);
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
            case PickleOpcode.Float: stack.Push(new PickleFloat(PickleLiterals.Real(cursor.Line()) ?? Bad<double>("a number"))); break;

            case PickleOpcode.BinUnicode: stack.Push(Utf8(cursor.UInt32())); break;
            case PickleOpcode.ShortBinUnicode: stack.Push(Utf8(cursor.Byte())); break;
            case PickleOpcode.BinUnicode8: stack.Push(Utf8(cursor.UInt64())); break;
            case PickleOpcode.Unicode: stack.Push(new PickleText(PickleLiterals.Escaped(cursor.Line()) ?? Bad<string>("a string"))); break;
            case PickleOpcode.BinString: stack.Push(new PickleBytes(cursor.Take(cursor.Int32()))); break;
            case PickleOpcode.BinBytes: stack.Push(new PickleBytes(cursor.Take(cursor.UInt32()))); break;
            case PickleOpcode.ShortBinString or PickleOpcode.ShortBinBytes: stack.Push(new PickleBytes(cursor.Take(cursor.Byte()))); break;
            case PickleOpcode.BinBytes8 or PickleOpcode.ByteArray8: stack.Push(new PickleBytes(cursor.Take(cursor.UInt64()))); break;
            case PickleOpcode.String: stack.Push(new PickleBytes(PickleLiterals.Quoted(cursor.Line()) ?? Bad<byte[]>("a byte string"))); break;

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

            default: Object(opcode); break;
        }
    }

    private void Protocol(int version)
    {
        if (version > NewestProtocol)
            cursor.Fail($"pickle protocol {version} is not supported; the newest supported one is {NewestProtocol}", "Write the file again with protocol=4");
    }

    private void Frame(long length)
    {
        if (length > cursor.Remaining)
            cursor.Fail($"a frame claims {length} bytes, but {cursor.Remaining} remain", Remedy.DownloadAgain);
    }

    private PickleInt Long(int length)
    {
        if (length is < 0 or > PickleLiterals.MaxNumberBytes)
            cursor.Fail($"an integer of {length} bytes is too long", Remedy.DownloadAgain);
        return PickleInt.Of(new BigInteger(cursor.Take(length).Span));
    }

    /// <summary>Before protocol 2, Booleans were written as integers with a leading zero.</summary>
    private PickleValue DecimalOrBool(ReadOnlySpan<byte> line) =>
        line.SequenceEqual("01"u8) ? PickleBool.True
        : line.SequenceEqual("00"u8) ? PickleBool.False
        : PickleInt.Of(Decimal(line));

    private BigInteger Decimal(ReadOnlySpan<byte> line) => PickleLiterals.Integer(line) ?? Bad<BigInteger>("an integer");

    private long MemoKey(ReadOnlySpan<byte> line)
    {
        var key = Decimal(line);
        return key >= 0 && key <= uint.MaxValue ? (long)key : Bad<long>("a memo index");
    }

    /// <summary>Decodes a string. Python's may hold lone surrogates, such as a file name that is not UTF-8; beside data they are replaced.</summary>
    private PickleText Utf8(long length)
    {
        var utf8 = cursor.Take(length).Span;
        return new(PickleLiterals.Unicode(utf8) ?? (allowed.AllowsAll ? Encoding.UTF8.GetString(utf8) : Bad<string>("valid UTF-8")));
    }

    private string Utf8Line() => PickleLiterals.Unicode(cursor.Line()) ?? Bad<string>("valid UTF-8");

    private T Bad<T>(string expected)
    {
        cursor.Fail($"expected {expected}", Remedy.DownloadAgain);
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
            cursor.Fail("a key of a dictionary has no value", Remedy.DownloadAgain);
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
            cursor.Fail($"memo entry {key} is used before it is set", Remedy.DownloadAgain);
        return value;
    }

    private void Remember(long key)
    {
        memo[key] = stack.Peek();
        if (memo.Count > limits.MaxMemo)
            cursor.Fail($"the memo holds more than {limits.MaxMemo} values", "Raise PickleLimits.MaxMemo if the file should be this large");
    }

    private PickleGlobal Global(string module, string name)
    {
        if (!allowed.Allows(module, name))
            cursor.Fail(
                $"the file references {Quoted.Name(module)}.{Quoted.Name(name)}, which is not on the allow-list",
                "Nothing was imported or executed. If you trust the origin of the file, write its data again without that class");
        return new PickleGlobal(module, name);
    }
}
