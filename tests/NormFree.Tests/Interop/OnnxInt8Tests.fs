/// Networks whose binary convolutions are in 8-bit integers, in ONNX Runtime.
module NormFree.Tests.Interop.OnnxInt8Tests

open Expecto
open NormFree.Cli
open NormFree.Formats.Safetensors
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training

let private images = lazy (Support.images TorchSharp.torch.ScalarType.Float32 "int8" 4)

let private run model =
    use session =
        new OnnxSession(model, 1, images.Value.data<float32>().ToArray(), images.Value.shape, 10) :> IInference

    session.Run()
    session.Run()
    Array.copy session.Logits

let private nets =
    [ for norm in Support.everyNorm do
          small norm

          ReActNet.reactNetA { Width = 0.125; Depth = 0.5 } CifarStem
          |> Net.withClasses 10
          |> Net.withNorm norm
          |> Net.withBinarise ActivationsAndWeights ]

let tests =
    testList
        "8-bit integers"
        [ for net in nets do
              let body = (Net.tryBinary net).Value

              test $"{net.Name}, {Names.norm body.Norm}: the float32 file's logits, and those of the network" {
                  use checkpoint = RandomNetwork.create 6L net |> asCheckpoint 32
                  let model = OnnxLowering.lower AnyNumber checkpoint
                  let single, integers = run model, run (OnnxInt8.rewrite model)

                  let ours =
                      logits checkpoint.Network images.Value
                      |> NormFree.Tests.Golden.Agreement.values
                      |> Array.map float32

                  let agreeing = NormFree.Tests.Training.InferenceTests.agreeing 10
                  Expect.isGreaterThanOrEqual (agreeing single integers) 3 "images that agree with float32"
                  Expect.isGreaterThanOrEqual (agreeing ours integers) 3 "images that agree with the network"
              }

          test "every binary convolution is in integers, and no other" {
              use checkpoint = RandomNetwork.create 6L (small (BnFree 0.2)) |> asCheckpoint 32
              let rewritten = OnnxInt8.rewrite (OnnxLowering.lower AnyNumber checkpoint)
              let constants = dict [ for constant in rewritten.Graph.Constants -> constant.Name, constant ]
              let layers = (Lowering.layers checkpoint.Network.Spec).Length

              let nodes operator =
                  [ for node in rewritten.Graph.Nodes do
                        if node.Operator = operator then
                            node ]

              Expect.hasLength (nodes "ConvInteger") layers "convolutions in integers"
              Expect.hasLength (nodes "QuantizeLinear") layers "signs in integers"
              Expect.hasLength (nodes "DequantizeLinear") layers "scales"

              for node in nodes "ConvInteger" do
                  let weight = constants[node.Inputs[1]]
                  Expect.equal weight.DType DType.U8 node.Name
                  Expect.equal (set (weight.Bytes.ToArray())) (set [ 0uy; 2uy ]) node.Name

              for node in nodes "Conv" do
                  Expect.equal constants[node.Inputs[1]].DType DType.F32 node.Name
          } ]
