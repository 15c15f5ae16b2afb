module NormFree.Tests.Formats.OnnxTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors

let private read (bytes: byte[]) = OnnxModel.Read(new MemoryStream(bytes), "damaged")

let private model =
    let attributes =
        [| OnnxAttribute.Of("epsilon", 1e-5f)
           OnnxAttribute.Of("axis", -1L)
           OnnxAttribute.Of("pads", [| 0L; 1L; 300L |]) |]

    let node = OnnxNode("Conv", "first", [| "input"; "weight" |], [| "logits" |], attributes)
    let weight = OnnxTensor("weight", DType.F32, [| 2L; 1L |], ReadOnlyMemory(BitConverter.GetBytes 7.5))
    let scalar = OnnxTensor("scalar", DType.I64, [||], ReadOnlyMemory(BitConverter.GetBytes -1L))
    let input = OnnxValue("input", DType.F32, [| OnnxDimension.Open "batch"; OnnxDimension.Of 3L |])
    let output = OnnxValue("logits", DType.F32, [| OnnxDimension.Of 1L |])
    let metadata = Dictionary(dict [ "key", "Größe" ])
    OnnxModel(17L, "test", OnnxGraph("graph", [| node |], [| weight; scalar |], [| input |], [| output |]), metadata)

let private bytes =
    lazy
        (use stream = new MemoryStream()
         model.Write stream
         stream.ToArray())

let private refused =
    [ "nothing", [||], [ "no graph" ]
      "a length past the end", [| 0x3auy; 5uy; 0uy |], [ "5 bytes are announced and 1 are left" ]
      "a number without end", Array.create 12 0xffuy, [ "does not end" ]
      "a giant length",
      [| 0x3auy; 0xffuy; 0xffuy; 0xffuy; 0xffuy; 0xffuy; 0xffuy; 0xffuy; 0xffuy; 0xffuy; 1uy |],
      [ "announced" ]
      "a field without a number", [| 0uy; 0uy |], [ "no field" ]
      "a group, which ONNX has not", [| 0x0buy |], [ "no field" ]
      "a number where a graph is due", [| 0x38uy; 1uy |], [ "field 7" ]
      "a tensor whose bytes do not fill its shape",
      [| 0x3auy; 6uy; 0x2auy; 4uy; 0x08uy; 2uy; 0x10uy; 1uy |],
      [ "does not have its elements" ] ]

let tests =
    testList
        "ONNX"
        [ test "what is written is read" {
              let again = read bytes.Value
              Expect.equal again.Opset 17L "opset"
              Expect.equal again.Producer "test" "producer"
              Expect.equal again.Metadata["key"] "Größe" "metadata"
              let graph = again.Graph
              let node = Seq.exactlyOne graph.Nodes
              Expect.equal (node.Operator, node.Name) ("Conv", "first") "node"
              Expect.sequenceEqual node.Inputs [ "input"; "weight" ] "inputs"
              Expect.sequenceEqual node.Outputs [ "logits" ] "outputs"
              Expect.equal (nonNull (node.Find "epsilon")).Real (Nullable 1e-5f) "a real attribute"
              Expect.equal (nonNull (node.Find "axis")).Integer (Nullable -1L) "a negative whole one"
              Expect.sequenceEqual (nonNull (nonNull (node.Find "pads")).Integers) [ 0L; 1L; 300L ] "a list"
              Expect.sequenceEqual (graph.Constants |> Seq.map _.Name) [ "weight"; "scalar" ] "constants"
              Expect.equal (graph.Constants[0].Bytes.ToArray()) (BitConverter.GetBytes 7.5) "a constant's bytes"
              Expect.sequenceEqual graph.Constants[0].Shape [ 2L; 1L ] "a constant's shape"

              Expect.sequenceEqual
                  graph.Inputs[0].Dimensions
                  [ OnnxDimension.Open "batch"; OnnxDimension.Of 3L ]
                  "dimensions"
          }

          for what, bytes, words in refused do
              test $"{what} is refused" {
                  let message = Mutation.refusal (fun () -> read bytes)

                  for word in "damaged, byte" :: words do
                      Expect.stringContains message word "message"
              }

          test "damaged files give one kind of error and bounded memory" {
              let refused = Mutation.survive 21 200L [ bytes.Value ] (read >> ignore)
              Expect.isGreaterThan refused (Mutation.rounds / 4) "refused"
          } ]
