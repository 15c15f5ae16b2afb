/// TorchSharp's temporary scalars can be freed during the call that uses them (see ScalarArithmetic): our libraries must not make any.
module NormFree.Tests.Architecture.ScalarTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open Mono.Cecil

let private methods (file: string) =
    let modul = ModuleDefinition.ReadModule(Path.Combine(AppContext.BaseDirectory, file))

    [ for t in modul.GetTypes() do
          yield! t.Methods ]
    |> List.filter _.HasBody

let private calls (m: MethodDefinition) =
    m.Body.Instructions
    |> Seq.choose (fun i ->
        match i.Operand with
        | :? MethodReference as callee -> Some callee
        | _ -> None)

let private makesScalar (callee: MethodReference) =
    (callee.DeclaringType.FullName = "TorchSharp.Scalar"
     && (callee.Name = ".ctor" || callee.Name = "op_Implicit"))
    || callee.Name = "ToScalar"

/// Methods of TorchSharp that make a scalar, themselves or through others of its tensor operations.
let private unsafeMethods =
    lazy
        (let tensorMethods =
            methods "TorchSharp.dll"
            |> List.filter (fun m -> m.DeclaringType.FullName = "TorchSharp.torch/Tensor")

         let found = HashSet<string>()

         let rec spread () =
             let before = found.Count

             for m in tensorMethods do
                 if calls m |> Seq.exists (fun callee -> makesScalar callee || found.Contains callee.FullName) then
                     found.Add m.FullName |> ignore

             if found.Count > before then
                 spread ()

         spread ()
         found)

let private offenders file =
    [ for m in methods file do
          if not (m.DeclaringType.FullName.Contains "ScalarArithmetic") then
              for callee in calls m do
                  if makesScalar callee || unsafeMethods.Value.Contains callee.FullName then
                      $"{m.DeclaringType.FullName}.{m.Name} calls {callee.Name}" ]

let tests =
    testList
        "scalars"
        [ test "TorchSharp's sum of two tensors is known to make one, so that this test can fail" {
              Expect.exists
                  unsafeMethods.Value
                  (fun name -> name.Contains "op_Addition" && name.Contains "Tensor,TorchSharp.torch/Tensor")
                  "op_Addition"
          }
          for file in
              [ "NormFree.Torch.dll"
                "NormFree.Training.dll"
                "NormFree.Interop.dll"
                "NormFree.Reporting.dll"
                "normfree.dll" ] do
              test $"{file} makes no temporary scalar" {
                  Expect.equal (offenders file) [] "calls that bypass ScalarArithmetic"
              } ]
