//! The whole on the test bed: real HTCondor, real apptainer, a real API server.
