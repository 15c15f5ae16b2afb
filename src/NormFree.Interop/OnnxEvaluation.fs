namespace NormFree.Interop

open System.Collections.Generic
open NormFree.Formats
open NormFree.Formats.Onnx
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch
open TorchSharp

/// <summary>What an ONNX graph gives for some images.</summary>
type OnnxResult =
    {
        /// N×classes.
        Logits: torch.Tensor
        /// How many values signs were taken of.
        Signs: int64
        /// How many of those lie within <c>OnnxEvaluation.nearZero</c> of 0: there a rounding error can turn a sign, and with it logits.
        NearZero: int64
    }

/// <summary>Runs ONNX graphs with torch operations: the operators that <c>OnnxLowering</c> writes, and no others.</summary>
[<RequireQualifiedAccess>]
module OnnxEvaluation =

    /// <summary>Values closer to 0 may have either sign in another program, whose sums are rounded in another order.</summary>
    let nearZero = 1e-5

    let private fail path (node: OnnxNode) what =
        raise (
            InvalidFileException(
                path,
                $"node '{node.Name}'",
                what,
                "Give an ONNX file that normfree export has written"
            )
        )

    let private integers path (node: OnnxNode) name =
        match node.Find name with
        | null -> fail path node $"it has no {name}"
        | attribute ->
            match attribute.Integers with
            | null -> fail path node $"its {name} is no list of whole numbers"
            | numbers -> Seq.toArray numbers

    let private real path (node: OnnxNode) name =
        match node.Find name with
        | null -> fail path node $"it has no {name}"
        | attribute -> float attribute.Real.Value

    /// Padding and stride, the same on all sides, as the writer gives them.
    let private window path node =
        (integers path node "pads")[0], (integers path node "strides")[0], (integers path node "kernel_shape")[0]

    let private apply path (node: OnnxNode) (inputs: torch.Tensor list) : torch.Tensor =
        match node.Operator, inputs with
        | "Add", [ x; y ] -> x.Plus y
        | "Sub", [ x; y ] -> x - y
        | "Mul", [ x; y ] -> x * y
        | "Sign", [ x ] -> x.sign ()
        | "Relu", [ x ] -> torch.nn.functional.relu x
        | "PRelu", [ x; slope ] -> torch.nn.functional.prelu (x, slope.reshape -1L)
        | "Concat", parts -> torch.cat (List.toArray parts, 1L)
        | "ReduceMean", [ x ] -> x.mean (integers path node "axes", keepdim = true)
        | "GlobalAveragePool", [ x ] -> x.mean ([| 2L; 3L |], keepdim = true)
        | "Flatten", [ x ] -> x.flatten 1L
        | "Gemm", [ x; weight; bias ] -> torch.nn.functional.linear (x, weight, bias)
        | "BatchNormalization", [ x; weight; bias; mean; variance ] ->
            torch.nn.functional.batch_norm (x, mean, variance, weight, bias, false, 0.1, real path node "epsilon")
        | "Conv", [ x; weight ] ->
            let padding, stride, _ = window path node
            torch.nn.functional.conv2d (x, weight, strides = [| stride; stride |], padding = [| padding; padding |])
        | "MaxPool", [ x ] ->
            let padding, stride, kernel = window path node
            torch.nn.functional.max_pool2d (x, kernel, stride, padding)
        | "AveragePool", [ x ] ->
            let _, stride, kernel = window path node
            torch.nn.functional.avg_pool2d (x, kernel, stride)
        | operator, _ ->
            fail path node $"the operator {operator} with {inputs.Length} inputs is not one that NormFree writes"

    /// <summary>Runs a graph on images (N×3×H×W), in their type.</summary>
    /// <remarks>Throws InvalidFileException where the graph holds something that <c>OnnxLowering</c> does not write.</remarks>
    let run (path: string) (model: OnnxModel) (images: torch.Tensor) : OnnxResult =
        use scope = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let values = Dictionary<string, torch.Tensor>()
        let mutable signs, near = 0L, 0L

        for constant in model.Graph.Constants do
            let tensor = TensorBytes.toTensor constant.DType constant.Shape (constant.Bytes.ToArray())
            values[constant.Name] <- tensor.``to`` images.dtype

        values[model.Graph.Inputs[0].Name] <- images

        for node in model.Graph.Nodes do
            let inputs =
                [ for input in node.Inputs do
                      match values.TryGetValue input with
                      | true, value -> value
                      | _ -> fail path node $"its input '{input}' is not there" ]

            if node.Operator = "Sign" then
                signs <- signs + inputs.Head.numel ()
                let bound = torch.tensor nearZero
                near <- near + inputs.Head.abs().lt(bound).sum().item<int64>()

            values[node.Outputs[0]] <- apply path node inputs

        let logits = values[model.Graph.Outputs[0].Name].MoveToOuterDisposeScope()
        { Logits = logits; Signs = signs; NearZero = near }
