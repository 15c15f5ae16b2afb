using System.Diagnostics.CodeAnalysis;

namespace NormFree.Archives.Pickle;

/// <summary>The opcodes that import, call and set states. Each becomes data.</summary>
internal sealed partial class PickleMachine
{
    /// <summary>Interprets the opcodes of sets and of objects that plain data lacks.</summary>
    private void Object(PickleOpcode opcode)
    {
        if (!allowed.AllowsAll)
            Unsupported(opcode);
        switch (opcode)
        {
            case PickleOpcode.EmptySet: stack.Push(new PickleReduced(new PickleGlobal("builtins", "set"), PickleTuple.Empty)); break;
            case PickleOpcode.AddItems: Append(stack.PopToMark()); break;
            case PickleOpcode.FrozenSet: stack.Push(new PickleReduced(new PickleGlobal("builtins", "frozenset"), new PickleTuple(stack.PopToMark()))); break;
            case PickleOpcode.NewObjEx: NewObjEx(); break;
            case PickleOpcode.Inst: Instance(Global(Utf8Line(), Utf8Line()), stack.PopToMark()); break;
            case PickleOpcode.Obj: Instance(stack.PopToMark()); break;
            default: Unsupported(opcode); break;
        }
    }

    [DoesNotReturn]
    private void Unsupported(PickleOpcode opcode) =>
        cursor.Fail($"opcode 0x{(byte)opcode:x2} is not supported in plain data", "Write the data again with plain lists, dictionaries and arrays");

    private void StackGlobal()
    {
        var (name, module) = (stack.Pop(), stack.Pop());
        stack.Push(module is PickleText ofModule && name is PickleText ofName
            ? Global(ofModule.Value, ofName.Value)
            : Bad<PickleGlobal>("a module and a name"));
    }

    private void Reduce()
    {
        var (tuple, callable) = (stack.Pop(), stack.Pop());
        stack.Push(tuple is PickleTuple arguments
            ? new PickleReduced(Callable(callable), arguments)
            : Bad<PickleReduced>("a callable and its arguments"));
    }

    /// <summary>A name; or, if every name is allowed, a computed function such as a bound method, of which only that is kept.</summary>
    private PickleGlobal Callable(PickleValue value) =>
        value as PickleGlobal
        ?? (allowed.AllowsAll ? PickleGlobal.Computed : Bad<PickleGlobal>("a callable and its arguments"));

    /// <summary>A call with keyword arguments, which are kept as the last argument.</summary>
    private void NewObjEx()
    {
        var call = stack.Pop(3);
        stack.Push(call is [var callable, PickleTuple { Items: var arguments }, var keywords]
            ? new PickleReduced(Callable(callable), new PickleTuple([.. arguments, keywords]))
            : Bad<PickleReduced>("a class, its arguments and keywords"));
    }

    private void Instance(PickleGlobal type, PickleValue[] arguments) => stack.Push(new PickleReduced(type, new PickleTuple(arguments)));

    private void Instance(PickleValue[] parts)
    {
        if (parts is not [var type, .. var arguments])
            cursor.Fail("expected a class and its arguments", Remedy.DownloadAgain);
        else
            Instance(Callable(type), arguments);
    }

    /// <summary>Keeps the state of an object. If every name is allowed, a later state replaces it, and other values ignore theirs.</summary>
    private void Build()
    {
        var state = stack.Pop();
        var target = stack.Peek() as PickleReduced;
        if (!allowed.AllowsAll && target is not { State: null })
            cursor.Fail("a state is set on a value that has none", Remedy.DownloadAgain);
        if (target is not null)
            target.State = state;
    }
}
