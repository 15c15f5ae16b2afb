namespace NormFree.Interop

open System
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open NormFree.Networks
open TorchSharp

/// Collects the nodes and constants of a graph.
type internal OnnxGraphBuilder() =
    let nodes = ResizeArray<OnnxNode>()
    let constants = Collections.Generic.Dictionary<string, OnnxTensor>()

    member _.Nodes = nodes
    member _.Constants = constants.Values

    /// Adds a constant unless its name exists.
    member _.Constant(name: string, shape: int64[], value: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        let bytes = TensorBytes.ofTensor (value.``to`` torch.ScalarType.Float32)
        constants.TryAdd(name, OnnxTensor(name, DType.F32, shape, ReadOnlyMemory bytes)) |> ignore
        name

    /// Adds a constant of integers unless its name exists.
    member _.Integers(name: string, values: int64 list) =
        use tensor = torch.tensor (List.toArray values)
        let shape = [| int64 values.Length |]

        constants.TryAdd(name, OnnxTensor(name, DType.I64, shape, ReadOnlyMemory(TensorBytes.ofTensor tensor)))
        |> ignore

        name

    /// The input of the last node if it is of this kind; the node is removed.
    member _.TryUndo(operator: string, output: string) =
        let last = nodes.Count - 1

        if last >= 0 && nodes[last].Operator = operator && nodes[last].Name = output then
            let input = nodes[last].Inputs[0]
            nodes.RemoveAt last
            Some input
        else
            None

    /// Adds a node whose output has the name of the node.
    member _.Node(operator: string, name: string, inputs: string list, attributes: OnnxAttribute list) =
        let name = $"{name}/{operator}"

        let same =
            nodes |> Seq.filter (fun node -> node.Name = name || node.Name.StartsWith(name + "#")) |> Seq.length

        let name = if same = 0 then name else $"{name}#{same + 1}"
        nodes.Add(OnnxNode(operator, name, List.toArray inputs, [| name |], List.toArray attributes))
        name
