// Every experiment begins with  #load "prelude.fsx"  and is run by  dotnet fsi experiments/NAME.fsx  after a build.
#r "../artifacts/normfree/TorchSharp.dll"
#r "../artifacts/normfree/NormFree.Formats.dll"
#r "../artifacts/normfree/NormFree.Spec.dll"
#r "../artifacts/normfree/NormFree.Torch.dll"
#r "../artifacts/normfree/NormFree.Data.dll"
#r "../artifacts/normfree/NormFree.Training.dll"
#r "../artifacts/normfree/NormFree.Reporting.dll"

NormFree.Torch.Native.TorchNative.Ensure()
