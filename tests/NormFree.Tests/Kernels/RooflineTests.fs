module NormFree.Tests.Kernels.RooflineTests

open Expecto
open NormFree.Kernels.Rooflines
open NormFree.Tests.Kernels.Support

let tests =
    testList
        "Rooflines"
        [ for set in NormFree.Kernels.Simd.InstructionSets.Supported do
              test $"{set}: the arithmetic loop counts its work, and its result depends on all rounds" {
                  let run (rounds: int) =
                      let mutable result = 0UL
                      let macs = (Roofline.For set).Compute(rounds, &result)
                      macs, result

                  let one, first = run 1
                  let many, last = run 1002
                  Expect.isGreaterThanOrEqual one 64L "multiply-accumulates of a round"
                  Expect.equal many (1002L * one) "multiply-accumulates of many rounds"
                  Expect.notEqual last first "results"
              }

              test $"{set}: the read loop reads every value once" {
                  let values = Array.init 1024 float32
                  use memory = new Guarded<float32>(values)
                  Expect.equal ((Roofline.For set).Read(memory.Pointer, 1024L)) (Array.sum values) "sum"
              } ]
