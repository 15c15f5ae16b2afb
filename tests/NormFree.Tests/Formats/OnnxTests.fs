/// The writer of ONNX files, against ONNX Runtime as an independent reader.
module NormFree.Tests.Formats.OnnxTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open Microsoft.ML.OnnxRuntime
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors

let private node operator inputs output attributes =
    OnnxNode(operator, output, List.toArray inputs, [| output |], List.toArray attributes)

/// Uses every kind of attribute, a scalar, and constants of three types; ReduceMean with attribute axes exists up to opset 17 only.
let private model =
    let nodes =
        [| node "Mul" [ "input"; "weight" ] "scaled" []
           node "Add" [ "scaled"; "offset" ] "shifted" []
           node "LeakyRelu" [ "shifted" ] "leaky" [ OnnxAttribute.Of("alpha", 0.25f) ]
           node "Transpose" [ "leaky" ] "columns" [ OnnxAttribute.Of("perm", [| 1L; 0L |]) ]
           node "Concat" [ "columns"; "columns" ] "twice" [ OnnxAttribute.Of("axis", -1L) ]
           node "ReduceMean" [ "twice" ] "mean" [ OnnxAttribute.Of("axes", [| 1L |]); OnnxAttribute.Of("keepdims", 0L) ]
           node "Reshape" [ "mean"; "flat" ] "logits" [] |]

    let weight =
        OnnxTensor(
            "weight",
            DType.F32,
            [| 1L; 3L |],
            ReadOnlyMemory(Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 1f; 2f; -4f |])
        )

    let offset = OnnxTensor("offset", DType.F32, [||], ReadOnlyMemory(BitConverter.GetBytes 0.5f))
    let flat = OnnxTensor("flat", DType.I64, [| 1L |], ReadOnlyMemory(BitConverter.GetBytes -1L))
    let input = OnnxValue("input", DType.F32, [| OnnxDimension.Open "batch"; OnnxDimension.Of 3L |])
    let output = OnnxValue("logits", DType.F32, [| OnnxDimension.Open "n" |])
    let metadata = Dictionary(dict [ "key", "Größe" ])
    OnnxModel(17L, "test", OnnxGraph("graph", nodes, [| weight; offset; flat |], [| input |], [| output |]), metadata)

let private session (model: OnnxModel) =
    use stream = new MemoryStream()
    model.Write stream
    use options = new SessionOptions(LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
    new InferenceSession(stream.ToArray(), options)

let tests =
    testList
        "ONNX"
        [ test "ONNX Runtime computes what is written" {
              use session = session model
              use input = OrtValue.CreateTensorValueFromMemory([| 1f; 1f; 1f; 2f; 2f; 2f |], [| 2L; 3L |])
              use run = new RunOptions()
              use outputs = session.Run(run, [| "input" |], [| input |], [| "logits" |])

              let expected =
                  [ for weight in [ 1f; 2f; -4f ] ->
                        [ 1f; 2f ]
                        |> List.averageBy (fun x ->
                            let shifted = weight * x + 0.5f
                            if shifted < 0f then 0.25f * shifted else shifted) ]

              Expect.sequenceEqual (outputs[0].GetTensorDataAsSpan<float32>().ToArray()) expected "logits"
          }

          test "ONNX Runtime reads the metadata and the dimensions that are written" {
              use session = session model
              Expect.equal session.ModelMetadata.ProducerName "test" "producer"
              Expect.equal session.ModelMetadata.GraphName "graph" "graph"
              Expect.equal session.ModelMetadata.CustomMetadataMap["key"] "Größe" "metadata"
              let input = session.InputMetadata["input"]
              Expect.sequenceEqual input.Dimensions [ -1; 3 ] "sizes"
              Expect.equal input.SymbolicDimensions[0] "batch" "symbol"
              Expect.equal input.ElementType typeof<float32> "type"
          }

          test "the opset is the one that is written" {
              let later = OnnxModel(18L, model.Producer, model.Graph, model.Metadata)

              Expect.throwsT<OnnxRuntimeException>
                  (fun () -> (session later).Dispose())
                  "opset 18 has no such attribute"
          }

          for dtype in DTypes.All do
              test $"a constant of {dtype.Name()} has the type and the bytes that are written" {
                  let bytes = Array.init (dtype.Bytes()) (fun i -> if i = 0 then 1uy else 0uy)
                  let constant = OnnxTensor("constant", dtype, [| 1L |], ReadOnlyMemory bytes)
                  let nodes = [| node "Identity" [ "constant" ] "logits" [] |]
                  let output = OnnxValue("logits", dtype, [| OnnxDimension.Of 1L |])
                  let graph = OnnxGraph("graph", nodes, [| constant |], [||], [| output |])
                  use session = session (OnnxModel(17L, "test", graph, model.Metadata))
                  use run = new RunOptions()
                  use outputs = session.Run(run, Array.empty<string>, Array.empty<OrtValue>, [| "logits" |])
                  Expect.equal (outputs[0].GetTensorMutableRawData().ToArray()) bytes "bytes"
              } ]
