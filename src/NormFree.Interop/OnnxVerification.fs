namespace NormFree.Interop

open System
open System.IO
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open TorchSharp

/// <summary>Runs ONNX models. Programs inject ONNX Runtime here, so that this library stays free of native code.</summary>
type IOnnxRuntime =

    /// <summary>Runs a model once; its input is named <c>input</c> and has type float32, as have its outputs.</summary>
    /// <param name="model">The bytes of an ONNX file.</param>
    /// <param name="images">The input, N×3×H×W row-major.</param>
    /// <param name="shape">N, 3, H and W.</param>
    /// <param name="outputs">The names of the outputs.</param>
    /// <returns>The values of each output, row-major.</returns>
    abstract Run: model: byte[] * images: float32[] * shape: int64[] * outputs: string[] -> float32[][]

/// <summary>How many inputs of <c>Sign</c> nodes are so close to 0 that rounding can flip their sign, and with it logits.</summary>
[<Struct>]
type SignInputs = { NearZero: int64; Total: int64 }

/// <summary>Runs exported networks in an ONNX runtime.</summary>
[<RequireQualifiedAccess>]
module OnnxVerification =

    /// <summary>Values closer to 0 may have either sign in another implementation, which rounds sums in another order.</summary>
    let nearZero = 1e-5f

    let private run (runtime: IOnnxRuntime) (model: byte[]) (images: torch.Tensor) outputs =
        use values = images.detach().``to``(torch.ScalarType.Float32).contiguous()
        runtime.Run(model, values.data<float32>().ToArray(), images.shape, outputs)

    /// <summary>The logits (N×classes, row-major) of an ONNX file for images (N×3×H×W).</summary>
    let logits (runtime: IOnnxRuntime) (model: byte[]) (images: torch.Tensor) : float32[] =
        (run runtime model images [| "logits" |])[0]

    /// The model with further outputs, each of four axes.
    let private withOutputs (names: string[]) (model: OnnxModel) =
        let axes name = [| for axis in 0..3 -> OnnxDimension.Open $"{name}.{axis}" |]
        let added = names |> Array.map (fun name -> OnnxValue(name, DType.F32, axes name))
        let graph = model.Graph
        let outputs = Array.append (Seq.toArray graph.Outputs) added

        OnnxModel(
            model.Opset,
            model.Producer,
            OnnxGraph(graph.Name, graph.Nodes, graph.Constants, graph.Inputs, outputs),
            model.Metadata
        )

    /// <summary>Counts the inputs of the model's <c>Sign</c> nodes for some images, and those within <c>nearZero</c> of 0.</summary>
    let signInputs (runtime: IOnnxRuntime) (model: OnnxModel) (images: torch.Tensor) : SignInputs =
        let names =
            [| for node in model.Graph.Nodes do
                   if node.Operator = "Sign" then
                       node.Inputs[0] |]
            |> Array.distinct

        if names.Length = 0 then
            { NearZero = 0L; Total = 0L }
        else
            use bytes = new MemoryStream()
            (withOutputs names model).Write bytes
            let values = run runtime (bytes.ToArray()) images names
            let near = values |> Array.sumBy (Array.filter (fun value -> abs value < nearZero) >> _.LongLength)
            { NearZero = near; Total = values |> Array.sumBy _.LongLength }
